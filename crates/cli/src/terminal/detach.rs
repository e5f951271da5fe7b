//! The key sequence by which the person leaves a container that goes on.

/// Ctrl-P Ctrl-Q.
pub const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Reads `ctrl-p,ctrl-q` or `a,b`.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',')
        .map(|key| parse_key(key).ok_or_else(|| format!("invalid detach keys ({text}): unknown character: '{key}'")))
        .collect()
}

fn parse_key(key: &str) -> Option<u8> {
    match key.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([c @ b'a'..=b'z']) => Some(c - b'a' + 1),
        Some([b'@']) => Some(0),
        Some([b'[']) => Some(27),
        Some([b'\\']) => Some(28),
        Some([b']']) => Some(29),
        Some([b'^']) => Some(30),
        Some([b'_']) => Some(31),
        Some(_) => None,
        None => match key.as_bytes() {
            [c] if c.is_ascii() => Some(*c),
            _ => None,
        },
    }
}

/// Looks for the sequence in what is typed.
pub struct Watch {
    keys: Vec<u8>,
    matched: usize,
}

impl Watch {
    /// Watches for these keys; for none if they are empty.
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes what was typed and gives what goes to the container; `true` when the sequence is complete. Keys that may
    /// begin the sequence are held back until it is clear.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(byte) {
                self.matched = 1;
                if self.keys.len() == 1 {
                    return (out, true);
                }
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read() {
        assert_eq!(parse(""), Ok(vec![16, 17]));
        assert_eq!(parse("ctrl-a,x,ctrl-]"), Ok(vec![1, b'x', 29]));
        assert!(parse("ctrl-").is_err() && parse("xy").is_err() && parse("ctrl-p,").is_err());
    }

    #[test]
    fn only_the_whole_sequence_detaches() {
        let mut watch = Watch::new(vec![16, 17]);
        assert_eq!(watch.filter(b"a\x10b"), (b"a\x10b".to_vec(), false));
        assert_eq!(watch.filter(b"\x10"), (vec![], false));
        assert_eq!(watch.filter(b"\x10x"), (b"\x10\x10x".to_vec(), false));
        assert_eq!(watch.filter(b"y\x10\x11z"), (b"y".to_vec(), true));
        assert_eq!(Watch::new(vec![]).filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
