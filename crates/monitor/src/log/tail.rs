//! Finds the last lines of a file by reading backwards from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 64 * 1024;

/// Where the last lines of a file begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Tail {
    /// Offset of the first of them in bytes.
    pub offset: u64,
    /// How many there are: as many as were asked for, or all that the file has.
    pub lines: usize,
}

/// Finds the last `count` complete lines of `file`; what follows the last newline is not a line yet.
///
/// # Errors
/// The file cannot be read.
pub fn tail(file: &File, count: usize) -> io::Result<Tail> {
    let mut end = file.metadata()?.len();
    let mut newlines = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.resize((end - start) as usize, 0);
        file.read_exact_at(&mut block, start)?;
        for at in memchr::memrchr_iter(b'\n', &block) {
            // The newline that ends the last line wanted no line before it.
            if newlines == count {
                return Ok(Tail { offset: start + at as u64 + 1, lines: count });
            }
            newlines += 1;
        }
        end = start;
    }
    Ok(Tail { offset: 0, lines: newlines })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn the_last_lines_are_found() {
        let file = file(b"one\ntwo\nthree\nunfinished");
        assert_eq!(tail(&file, 0).unwrap(), Tail { offset: 14, lines: 0 });
        assert_eq!(tail(&file, 1).unwrap(), Tail { offset: 8, lines: 1 });
        assert_eq!(tail(&file, 3).unwrap(), Tail { offset: 0, lines: 3 });
        assert_eq!(tail(&file, 9).unwrap(), Tail { offset: 0, lines: 3 });
    }

    #[test]
    fn lines_longer_than_a_block_are_found() {
        let mut content = vec![b'x'; 200_000];
        content.extend(b"\nlast\n");
        assert_eq!(tail(&file(&content), 1).unwrap().offset, 200_001);
    }

    proptest! {
        #[test]
        fn agrees_with_reading_forwards(lengths in proptest::collection::vec(0_usize..3000, 0..80), count in 0_usize..90) {
            let content: Vec<u8> = lengths.iter().flat_map(|&length| [vec![b'x'; length], vec![b'\n']].concat()).collect();
            let expected: usize = lengths.iter().rev().take(count).map(|length| length + 1).sum();
            let found = tail(&file(&content), count).unwrap();
            prop_assert_eq!(found, Tail { offset: (content.len() - expected) as u64, lines: count.min(lengths.len()) });
        }
    }
}
