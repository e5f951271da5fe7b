//! Fluentd's forward protocol: MessagePack of `[tag, time, record]`.

use jiff::Timestamp;

use super::Message;
use crate::protocol::FluentdPlan;

/// One event.
pub(super) fn encode(plan: &FluentdPlan, message: &Message<'_>) -> Vec<u8> {
    let mut out = vec![0x93];
    text(&mut out, plan.tag.as_bytes());
    time(&mut out, message.time, plan.sub_second);
    let mut record: Vec<(&str, Vec<u8>)> =
        vec![("source", message.stream.name().as_bytes().to_vec()), ("log", message.text.to_vec())];
    if let Some(piece) = &message.piece {
        record.push(("partial_message", b"true".to_vec()));
        record.push(("partial_id", format!("{:032x}", piece.line).into_bytes()));
        record.push(("partial_ordinal", piece.number.to_string().into_bytes()));
        record.push(("partial_last", piece.last.to_string().into_bytes()));
    }
    let fields = plan.fields.iter().map(|(key, value)| (key.as_str(), value.as_bytes().to_vec()));
    record.extend(fields);
    map_head(&mut out, record.len());
    for (key, value) in record {
        text(&mut out, key.as_bytes());
        text(&mut out, &value);
    }
    out
}

fn map_head(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(length @ 0..=15) => out.push(0x80 | length),
        _ => {
            out.push(0xde);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

/// Seconds, or an `EventTime` (extension type 0) with nanoseconds.
fn time(out: &mut Vec<u8>, time: Timestamp, sub_second: bool) {
    let seconds = u32::try_from(time.as_second()).unwrap_or(0);
    if sub_second {
        out.extend_from_slice(&[0xd7, 0]);
        out.extend_from_slice(&seconds.to_be_bytes());
        out.extend_from_slice(&time.subsec_nanosecond().unsigned_abs().to_be_bytes());
    } else {
        out.push(0xce);
        out.extend_from_slice(&seconds.to_be_bytes());
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match length {
        0..=31 => out.push(0xa0 | length as u8),
        32..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;

    #[test]
    fn events_are_message_pack() {
        let plan = FluentdPlan {
            tag: "web".into(),
            fields: vec![("container_name".into(), "/web".into())],
            sub_second: false,
        };
        let time = Timestamp::from_second(0x0102_0304).unwrap();
        let message = Message { stream: Stream::Stdout, text: b"hi", time, piece: None };
        let expected = [
            &b"\x93\xa3web\xce\x01\x02\x03\x04\x83"[..],
            b"\xa6source\xa6stdout\xa3log\xa2hi\xaecontainer_name\xa4/web",
        ]
        .concat();
        assert_eq!(encode(&plan, &message), expected);
        let precise = encode(&FluentdPlan { sub_second: true, ..plan }, &message);
        assert_eq!(precise[5..15], [0xd7, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    }
}
