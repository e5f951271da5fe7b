//! The journal's native protocol: `NAME=value` lines, or a length before values with newlines.

use super::{Message, level};

/// One entry.
pub(super) fn encode(fields: &[(String, String)], message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + message.text.len());
    field(&mut out, "MESSAGE", message.text);
    field(&mut out, "PRIORITY", level(message.stream).to_string().as_bytes());
    if let Some(piece) = &message.piece {
        field(&mut out, "CONTAINER_PARTIAL_MESSAGE", b"true");
        field(&mut out, "CONTAINER_PARTIAL_ID", format!("{:032x}", piece.line).as_bytes());
        field(&mut out, "CONTAINER_PARTIAL_ORDINAL", piece.number.to_string().as_bytes());
        field(&mut out, "CONTAINER_PARTIAL_LAST", piece.last.to_string().as_bytes());
    }
    for (name, value) in fields {
        field(&mut out, name, value.as_bytes());
    }
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;

    #[test]
    fn entries_have_the_native_form() {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let message = Message { stream: Stream::Stderr, text: b"a\nb", time, piece: None };
        let fields = [("CONTAINER_NAME".to_owned(), "web".to_owned())];
        let expected = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\nCONTAINER_NAME=web\n";
        assert_eq!(encode(&fields, &message), expected);
    }
}
