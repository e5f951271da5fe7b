//! Cuts a stream of bytes into the lines of a log.

/// The longest piece of a line that becomes one log entry, in bytes; a longer line is several.
pub(crate) const LONGEST: usize = 16 * 1024;

/// One log entry's worth of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The text without its newline.
    pub text: &'a [u8],
    /// Whether a newline followed.
    pub complete: bool,
    /// Whether an earlier piece of the same line was an entry of its own.
    pub continued: bool,
}

/// Keeps what is not yet a line between two reads.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    carry: Vec<u8>,
    continued: bool,
}

impl Splitter {
    /// Takes the next bytes of the stream and hands out every line that they complete.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut emit: impl FnMut(Line<'_>)) {
        while !chunk.is_empty() {
            let room = LONGEST - self.carry.len();
            let window = &chunk[..room.min(chunk.len())];
            match memchr::memchr(b'\n', window) {
                Some(at) => {
                    self.emit(&window[..at], true, &mut emit);
                    chunk = &chunk[at + 1..];
                }
                None if window.len() == room => {
                    chunk = &chunk[room..];
                    self.emit_partial(window, &mut emit);
                }
                None => {
                    self.carry.extend_from_slice(window);
                    return;
                }
            }
        }
    }

    /// The stream has ended: hands out what is left of the last line.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(Line<'_>)) {
        if !self.carry.is_empty() {
            self.emit(&[], false, &mut emit);
        }
        *self = Self::default();
    }

    fn emit(&mut self, text: &[u8], complete: bool, emit: &mut impl FnMut(Line<'_>)) {
        let continued = std::mem::replace(&mut self.continued, !complete);
        if self.carry.is_empty() {
            return emit(Line { text, complete, continued });
        }
        self.carry.extend_from_slice(text);
        emit(Line { text: &self.carry, complete, continued });
        self.carry.clear();
    }

    /// Hands out a full piece, but keeps a character that its end would cut in two for the next one.
    fn emit_partial(&mut self, window: &[u8], emit: &mut impl FnMut(Line<'_>)) {
        self.carry.extend_from_slice(window);
        let held = cut_character(&self.carry).to_vec();
        self.carry.truncate(self.carry.len() - held.len());
        self.emit(&[], false, emit);
        self.carry = held;
    }
}

/// The beginning of a UTF-8 character at the end of `bytes` whose rest is still to come; empty if there is none.
fn cut_character(bytes: &[u8]) -> &[u8] {
    let back = bytes.iter().rev().take(3).position(|&byte| byte & 0xc0 != 0x80);
    let Some(start) = back.map(|back| bytes.len() - 1 - back) else { return &[] };
    let length = match bytes[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if bytes.len() - start < length { &bytes[start..] } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool, bool)> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        let mut emit = |line: Line<'_>| lines.push((line.text.to_vec(), line.complete, line.continued));
        for chunk in chunks {
            splitter.feed(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        lines
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        let lines = split(&[b"on", b"e\ntw", b"o\n\nrest"]);
        let expected: Vec<(Vec<u8>, bool, bool)> = vec![
            (b"one".to_vec(), true, false),
            (b"two".to_vec(), true, false),
            (b"".to_vec(), true, false),
            (b"rest".to_vec(), false, false),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_long_line_is_cut_at_16_kib() {
        let lines = split(&[&[b'x'; 40_000], b"\nnext\n"]);
        let shape: Vec<_> =
            lines.iter().map(|(text, complete, continued)| (text.len(), *complete, *continued)).collect();
        assert_eq!(shape, [(16384, false, false), (16384, false, true), (7232, true, true), (4, true, false)]);
    }

    #[test]
    fn a_cut_never_goes_through_a_character() {
        let mut text = vec![b'x'; LONGEST - 1];
        text.extend_from_slice("é!\n".as_bytes());
        for chunks in [vec![&text[..]], text.chunks(LONGEST - 1).collect(), text.chunks(1).collect()] {
            let lines = split(&chunks);
            assert_eq!(lines[0].0.len(), LONGEST - 1);
            assert_eq!(lines[1], ("é!".as_bytes().to_vec(), true, true));
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..500),
            cuts in proptest::collection::vec(1_usize..40, 1..40),
        ) {
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            let mut joined = Vec::new();
            for (text, complete, _) in split(&chunks) {
                joined.extend(text);
                if complete { joined.push(b'\n') }
            }
            prop_assert_eq!(joined, bytes);
        }
    }
}
