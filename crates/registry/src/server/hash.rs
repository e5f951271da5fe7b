//! SHA-256 that can be put down in one process and taken up in another.
//!
//! An upload arrives in several requests, perhaps at several servers. The state between two of them is 32 bytes of
//! chaining value, the count and the bytes that fill no block yet (FIPS 180-4), so nothing is ever read twice.

use serde::{Deserialize, Serialize};
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use wharf_types::Digest;

const BLOCK: usize = 64;
/// FIPS 180-4, 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The state of a SHA-256 computation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingHash {
    state: [u32; 8],
    /// Bytes hashed so far.
    length: u64,
    /// The bytes that fill no block yet.
    rest: Vec<u8>,
}

impl Default for RollingHash {
    fn default() -> Self {
        Self { state: INITIAL, length: 0, rest: Vec::new() }
    }
}

impl RollingHash {
    /// Bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.rest.is_empty() {
            let missing = (BLOCK - self.rest.len()).min(bytes.len());
            let (head, tail) = bytes.split_at(missing);
            self.rest.extend_from_slice(head);
            bytes = tail;
            if self.rest.len() < BLOCK {
                return;
            }
            compress256(&mut self.state, &[*GenericArray::from_slice(&self.rest)]);
            self.rest.clear();
        }
        let mut blocks = bytes.chunks_exact(BLOCK);
        for block in &mut blocks {
            compress256(&mut self.state, std::slice::from_ref(GenericArray::from_slice(block)));
        }
        self.rest.extend_from_slice(blocks.remainder());
    }

    /// The digest of everything so far; more may follow.
    pub fn digest(&self) -> Digest {
        let mut last = self.clone();
        let bits = self.length * 8;
        let mut padding = vec![0x80];
        let used = (self.rest.len() + 1 + 8) % BLOCK;
        padding.resize(1 + (BLOCK - used) % BLOCK, 0);
        padding.extend_from_slice(&bits.to_be_bytes());
        last.update(&padding);
        let hex: String = last.state.iter().map(|word| format!("{word:08x}")).collect();
        Digest::from_hex(&hex).expect("eight words make 64 hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_hash_as_the_whole_across_processes(pieces in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let mut hash = RollingHash::default();
            for piece in &pieces {
                hash.update(piece);
                hash = serde_json::from_str(&serde_json::to_string(&hash).unwrap()).unwrap();
            }
            prop_assert_eq!(hash.digest(), Digest::of(&pieces.concat()));
        }
    }

    #[test]
    fn every_length_of_the_last_block_is_padded_right() {
        for length in 0..200 {
            let bytes = vec![7; length];
            let mut hash = RollingHash::default();
            hash.update(&bytes);
            assert_eq!(hash.digest(), Digest::of(&bytes), "{length}");
        }
    }
}
