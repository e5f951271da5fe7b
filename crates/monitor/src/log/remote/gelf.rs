//! Graylog's format: JSON, compressed and cut into chunks over UDP, closed by a zero over TCP.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::{Message, level};
use crate::protocol::{GelfCompression, GelfPlan};

/// What fits into one datagram that no network on the way cuts, in bytes.
const CHUNK: usize = 1420;
/// Magic, message id, number and count.
const CHUNK_HEAD: usize = 12;
/// More chunks than this a receiver does not take.
const MOST_CHUNKS: usize = 128;

/// The packets of one message; none for one that is too long.
pub(super) fn encode(plan: &GelfPlan, message: &Message<'_>, datagrams: bool, number: u64) -> Vec<Vec<u8>> {
    let json = document(plan, message);
    if !datagrams {
        return vec![[json, vec![0]].concat()];
    }
    chunks(&compressed(plan, &json), number)
}

fn document(plan: &GelfPlan, message: &Message<'_>) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    let time = message.time.as_millisecond();
    for (key, value) in [
        ("version", "1.1".into()),
        ("host", plan.host.as_str().into()),
        ("short_message", String::from_utf8_lossy(message.text).into()),
        ("timestamp", (time as f64 / 1000.0).into()),
        ("level", level(message.stream).into()),
    ] {
        object.insert(key.to_owned(), value);
    }
    for (key, value) in &plan.fields {
        object.insert(format!("_{key}"), value.as_str().into());
    }
    serde_json::Value::Object(object).to_string().into_bytes()
}

fn compressed(plan: &GelfPlan, json: &[u8]) -> Vec<u8> {
    let level = Compression::new(plan.level.into());
    // Writing to memory does not fail.
    let packed = match plan.compression {
        GelfCompression::None => return json.to_vec(),
        GelfCompression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(json).and_then(|()| encoder.finish())
        }
        GelfCompression::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(json).and_then(|()| encoder.finish())
        }
    };
    packed.unwrap_or_else(|_| json.to_vec())
}

fn chunks(packed: &[u8], number: u64) -> Vec<Vec<u8>> {
    if packed.len() <= CHUNK {
        return vec![packed.to_vec()];
    }
    let parts = packed.chunks(CHUNK - CHUNK_HEAD);
    let Ok(count) = u8::try_from(parts.len()) else { return Vec::new() };
    if usize::from(count) > MOST_CHUNKS {
        return Vec::new();
    }
    // The id must not be another sender's: the process id is half of it.
    let id = (u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()) << 32) ^ number;
    let head = |index: u8| [&[0x1e, 0x0f][..], &id.to_be_bytes(), &[index, count]].concat();
    (0..).zip(parts).map(|(index, part)| [&head(index), part].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;

    fn plan(compression: GelfCompression) -> GelfPlan {
        let fields = vec![("container_name".to_owned(), "web".to_owned())];
        GelfPlan { host: "host".into(), fields, compression, level: 1 }
    }

    fn message(text: &[u8]) -> Message<'_> {
        let time = "2026-01-02T03:04:05.678Z".parse().unwrap();
        Message { stream: Stream::Stderr, text, time, piece: None }
    }

    #[test]
    fn documents_follow_the_specification() {
        let packets = encode(&plan(GelfCompression::None), &message(b"oops"), false, 1);
        let (last, json) = packets[0].split_last().unwrap();
        assert_eq!(*last, 0);
        let document: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(document["short_message"], "oops");
        assert_eq!(document["_container_name"], "web");
        assert_eq!((document["level"].as_u64(), document["timestamp"].as_f64()), (Some(3), Some(1_767_323_045.678)));
    }

    #[test]
    fn long_messages_travel_in_chunks() {
        let long: Vec<u8> =
            (0..16_000_u32).map(|at| b'a' + (at.wrapping_mul(2_654_435_761) >> 27) as u8 % 26).collect();
        let packets = encode(&plan(GelfCompression::None), &message(&long), true, 7);
        assert!(packets.len() > 10);
        assert!(packets.iter().all(|packet| packet.len() <= CHUNK && packet[..2] == [0x1e, 0x0f]));
        let count = packets.len() as u8;
        assert!(packets.iter().enumerate().all(|(at, packet)| packet[10..12] == [at as u8, count]));
        let whole: Vec<u8> = packets.iter().flat_map(|packet| &packet[CHUNK_HEAD..]).copied().collect();
        assert_eq!(whole, document(&plan(GelfCompression::None), &message(&long)));
    }
}
