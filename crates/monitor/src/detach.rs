//! Recognises the detach keys in what a client types, also when they come in pieces.

/// Looks for one key sequence in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Scanner {
    keys: Vec<u8>,
    /// How many of the keys the end of the stream so far is the beginning of; these bytes are held back.
    matched: usize,
}

impl Scanner {
    /// A scanner for `keys`, unless there are none.
    pub(crate) fn new(keys: &[u8]) -> Option<Self> {
        (!keys.is_empty()).then(|| Self { keys: keys.to_vec(), matched: 0 })
    }

    /// Takes the next bytes and appends to `through` what is certainly not part of the keys. `true` once they have been pressed;
    /// what follows them is dropped.
    pub(crate) fn scan(&mut self, input: &[u8], through: &mut Vec<u8>) -> bool {
        for &byte in input {
            self.step(byte, through);
            if self.matched == self.keys.len() {
                self.matched = 0;
                return true;
            }
        }
        false
    }

    /// The stream has ended: what was held back were just bytes.
    pub(crate) fn finish(&mut self, through: &mut Vec<u8>) {
        through.extend_from_slice(&self.keys[..self.matched]);
        self.matched = 0;
    }

    fn step(&mut self, byte: u8, through: &mut Vec<u8>) {
        let mut held = self.keys[..self.matched].to_vec();
        held.push(byte);
        // The longest end of what is held that the keys begin with stays held.
        let keep = (0..=held.len()).rev().find(|&length| self.keys.starts_with(&held[held.len() - length..]));
        self.matched = keep.unwrap_or(0);
        through.extend_from_slice(&held[..held.len() - self.matched]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(keys: &[u8], chunks: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let mut scanner = Scanner::new(keys).unwrap();
        let mut through = Vec::new();
        for chunk in chunks {
            if scanner.scan(chunk, &mut through) {
                return (through, true);
            }
        }
        scanner.finish(&mut through);
        (through, false)
    }

    #[test]
    fn the_default_keys_are_found_across_reads() {
        let chunks = [b"ls\r".to_vec(), vec![0x10], vec![0x11, b'x']];
        assert_eq!(run(&[0x10, 0x11], &chunks), (b"ls\r".to_vec(), true));
        assert_eq!(run(&[0x10, 0x11], &[vec![0x10, b'a']]), (vec![0x10, b'a'], false));
        assert_eq!(run(&[0x10, 0x11], &[vec![0x10, 0x10, 0x11]]), (vec![0x10], true));
        assert!(Scanner::new(&[]).is_none());
    }

    proptest! {
        #[test]
        fn finds_the_first_occurrence_and_changes_nothing_else(
            keys in proptest::collection::vec(0_u8..3, 1..5),
            chunks in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..12),
        ) {
            let all = chunks.concat();
            let at = all.windows(keys.len()).position(|window| window == keys);
            let expected = (all[..at.unwrap_or(all.len())].to_vec(), at.is_some());
            prop_assert_eq!(run(&keys, &chunks), expected);
        }
    }
}
