//! Maps of sparse files, in GNU tar's four spellings: the old header, and PAX 0.0, 0.1 and 1.0.

use super::header;
use super::pax::decimal;

/// A piece of data: its offset in the file and its length, both in bytes.
pub(crate) type Piece = (u64, u64);

/// A map has at most this many pieces; more is an attack or a mistake.
pub(crate) const MAX_PIECES: usize = 1 << 20;

/// What PAX keys beginning with `GNU.sparse.` say.
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Versions 0.0 and 0.1 keep the map in the header.
    pub map: Vec<Piece>,
    has_map: bool,
    pending_offset: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
}

impl PaxSparse {
    pub(crate) fn apply(&mut self, key: &str, value: &[u8]) -> Option<()> {
        match key {
            "name" => self.name = Some(value.to_vec()),
            "realsize" | "size" => self.real_size = Some(decimal(value)?),
            "major" => self.major = Some(decimal(value)?),
            "minor" => self.minor = Some(decimal(value)?),
            "map" => self.set_map(value)?,
            "numblocks" => self.has_map = true,
            "offset" => self.pending_offset = Some(decimal(value)?),
            "numbytes" => {
                let offset = self.pending_offset.take()?;
                self.push((offset, decimal(value)?))?;
            }
            _ => {}
        }
        Some(())
    }

    /// Whether the header holds the map (0.0 and 0.1).
    pub(crate) fn has_map(&self) -> bool {
        self.has_map && !self.map_is_in_data()
    }

    /// Whether the map stands before the data (1.0).
    pub(crate) fn map_is_in_data(&self) -> bool {
        self.major == Some(1) && self.minor == Some(0)
    }

    fn set_map(&mut self, value: &[u8]) -> Option<()> {
        self.has_map = true;
        let numbers: Option<Vec<u64>> = value.split(|b| *b == b',').map(decimal).collect();
        let numbers = if value.is_empty() { Vec::new() } else { numbers? };
        for pair in numbers.chunks(2) {
            self.push((pair[0], *pair.get(1)?))?;
        }
        Some(())
    }

    fn push(&mut self, piece: Piece) -> Option<()> {
        self.has_map = true;
        self.map.push(piece);
        (self.map.len() <= MAX_PIECES).then_some(())
    }
}

/// Reads entries of 24 bytes as old GNU headers have them; an empty one ends the list.
pub(crate) fn read_gnu(bytes: &[u8], map: &mut Vec<Piece>) -> Option<()> {
    for entry in bytes.chunks_exact(24).take_while(|entry| entry[0] != 0) {
        let offset = header::number(&entry[..12])?;
        let len = header::number(&entry[12..])?;
        map.push((u64::try_from(offset).ok()?, u64::try_from(len).ok()?));
    }
    (map.len() <= MAX_PIECES).then_some(())
}

/// Whether the pieces are in order, within the file, and exactly as long as the data stored.
pub(crate) fn is_valid(map: &[Piece], stored: u64, real_size: u64) -> bool {
    let mut end = 0;
    let mut total = 0u64;
    for (offset, len) in map {
        let Some(next) = offset.checked_add(*len).filter(|next| *offset >= end && *next <= real_size) else {
            return false;
        };
        end = next;
        total += len;
    }
    total == stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_in_both_header_spellings() {
        let mut new = PaxSparse::default();
        new.apply("map", b"0,5,10,5").unwrap();
        let mut old = PaxSparse::default();
        for (key, value) in
            [("numblocks", "2"), ("offset", "0"), ("numbytes", "5"), ("offset", "10"), ("numbytes", "5")]
        {
            old.apply(key, value.as_bytes()).unwrap();
        }
        assert_eq!(new.map, [(0, 5), (10, 5)]);
        assert_eq!(old.map, new.map);
        assert!(old.has_map() && new.has_map());
        assert!(PaxSparse::default().apply("map", b"0,5,10").is_none());
        assert!(PaxSparse::default().apply("numbytes", b"5").is_none());
    }

    #[test]
    fn overlapping_and_overlong_maps_are_refused() {
        assert!(is_valid(&[(0, 5), (10, 5)], 10, 15));
        assert!(is_valid(&[], 0, 1 << 40));
        for (map, stored, size) in [
            (&[(0, 5), (4, 5)][..], 10, 15),
            (&[(0, 5), (11, 5)], 10, 15),
            (&[(0, 5)], 6, 15),
            (&[(u64::MAX, 5)], 5, u64::MAX),
        ] {
            assert!(!is_valid(map, stored, size), "{map:?}");
        }
    }
}
