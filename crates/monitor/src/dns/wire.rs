//! DNS messages (RFC 1035, EDNS of RFC 6891): reading a question, writing an answer.
//!
//! Only what a resolver for a network's own names needs; questions for others pass through as they are.

use std::net::IpAddr;

/// Length of a message's header.
pub(super) const HEADER: usize = 12;
/// The largest datagram that everyone takes.
pub(super) const SMALLEST: usize = 512;
/// The largest datagram that is sent: no fragments on any path (DNS flag day 2020).
pub(super) const LARGEST: usize = 1232;

/// Record types.
pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
pub(super) const ANY: u16 = 255;
const OPT: u16 = 41;
const IN: u16 = 1;

/// Response codes.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const MALFORMED: u8 = 1;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NOT_IMPLEMENTED: u8 = 4;
pub(super) const REFUSED: u8 = 5;

/// Flags of the header's third and fourth byte.
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const RECURSION_AVAILABLE: u8 = 0x80;

/// How long an answer may be kept, in seconds: containers move.
const TTL: u32 = 5;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name in lower case without the final dot.
    pub name: String,
    /// The type of record.
    pub kind: u16,
    /// Whether it is about the internet at all.
    pub internet: bool,
    /// Where the question's section ends in the message.
    pub end: usize,
    /// The datagram that the asker takes, if it speaks EDNS.
    pub edns: Option<u16>,
}

/// Reads a query.
///
/// # Errors
/// The response code for a query that is none, or not of this kind; `None` for what must not be answered at all.
pub(super) fn parse(message: &[u8]) -> Result<Question, Option<u8>> {
    let flags = *message.get(2).filter(|_| message.len() >= HEADER).ok_or(None)?;
    if flags & RESPONSE != 0 {
        return Err(None);
    }
    if flags & OPCODE != 0 {
        return Err(Some(NOT_IMPLEMENTED));
    }
    if word(message, 4) != Some(1) {
        return Err(Some(MALFORMED));
    }
    question(message).ok_or(Some(MALFORMED))
}

fn question(message: &[u8]) -> Option<Question> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length).filter(|_| length < 64 && at - HEADER + length < 255)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at += length;
    }
    let (kind, class) = (word(message, at)?, word(message, at + 2)?);
    Some(Question { name, kind, internet: class == IN, end: at + 4, edns: edns(message, at + 4) })
}

/// The datagram size of the OPT record, looked for behind the question.
fn edns(message: &[u8], mut at: usize) -> Option<u16> {
    let records: u32 = [6, 8, 10].iter().filter_map(|at| word(message, *at)).map(u32::from).sum();
    for _ in 0..records {
        at = skip_name(message, at)?;
        let (kind, size) = (word(message, at)?, word(message, at + 2)?);
        if kind == OPT {
            return Some(size);
        }
        at += 10 + usize::from(word(message, at + 8)?);
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(String),
}

/// Writes an answer with these records; with too many for `limit` bytes it says so and carries what fits.
pub(super) fn answer(query: &[u8], question: &Question, records: &[Data], limit: usize) -> Vec<u8> {
    let mut message = head(query, question.end, NO_ERROR);
    message[2] |= AUTHORITATIVE;
    let room = limit.saturating_sub(if question.edns.is_some() { 11 } else { 0 });
    let mut count = 0_u16;
    for record in records {
        let before = message.len();
        write(&mut message, record);
        if message.len() > room {
            message.truncate(before);
            message[2] |= TRUNCATED;
            break;
        }
        count += 1;
    }
    message[6..8].copy_from_slice(&count.to_be_bytes());
    finish(message, question)
}

/// Writes an answer without records.
pub(super) fn failure(query: &[u8], question: Option<&Question>, code: u8) -> Vec<u8> {
    let message = head(query, question.map_or(HEADER, |question| question.end), code);
    match question {
        Some(question) => finish(message, question),
        None => message,
    }
}

/// How large an answer by datagram may be.
pub(super) fn limit(question: &Question) -> usize {
    question.edns.map_or(SMALLEST, |size| usize::from(size).clamp(SMALLEST, LARGEST))
}

fn head(query: &[u8], end: usize, code: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(SMALLEST);
    message.extend_from_slice(query.get(..end).unwrap_or_default());
    message.resize(message.len().max(HEADER), 0);
    message[2] = RESPONSE | (message[2] & (OPCODE | RECURSION_DESIRED));
    message[3] = RECURSION_AVAILABLE | code;
    message[4..6].copy_from_slice(&u16::from(end > HEADER).to_be_bytes());
    message[6..12].fill(0);
    message
}

fn write(message: &mut Vec<u8>, data: &Data) {
    let (kind, content) = match data {
        Data::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        Data::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        Data::Name(name) => (PTR, encode(name)),
    };
    // The name of the question, by reference.
    message.extend_from_slice(&[0xc0, HEADER as u8]);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&IN.to_be_bytes());
    message.extend_from_slice(&TTL.to_be_bytes());
    message.extend_from_slice(&(content.len() as u16).to_be_bytes());
    message.extend_from_slice(&content);
}

/// A name as labels. What does not fit into labels is left out: names of containers do.
fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| (1..64).contains(&label.len())) {
        if bytes.len() + label.len() > 253 {
            break;
        }
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn finish(mut message: Vec<u8>, question: &Question) -> Vec<u8> {
    if question.edns.is_some() {
        message.extend_from_slice(&[0]);
        message.extend_from_slice(&OPT.to_be_bytes());
        message.extend_from_slice(&(LARGEST as u16).to_be_bytes());
        message.extend_from_slice(&[0; 6]);
        message[10..12].copy_from_slice(&1_u16.to_be_bytes());
    }
    message
}

/// The address of a name below `in-addr.arpa` or `ip6.arpa`.
pub(super) fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut octets: Vec<u8> = labels.split('.').map(|label| label.parse().ok()).collect::<Option<_>>()?;
        octets.reverse();
        return <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    }
    let digit = |label: &str| u8::from_str_radix(label, 16).ok().filter(|_| label.len() == 1);
    let nibbles: Vec<u8> = name.strip_suffix(".ip6.arpa")?.split('.').map(digit).collect::<Option<_>>()?;
    let octets: Vec<u8> = nibbles.rchunks(2).filter_map(|pair| Some(pair.get(1)? << 4 | pair[0])).collect();
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from).filter(|_| nibbles.len() == 32)
}

/// The code of a response.
pub(super) fn code(message: &[u8]) -> Option<u8> {
    message.get(3).map(|flags| flags & 0x0f)
}

/// Whether `message` is a response to `query`, whose number may have been changed since: to the same question.
pub(super) fn answers(message: &[u8], number: u16, query: &[u8], end: usize) -> bool {
    let same_question = || {
        let (asked, echoed) = (query.get(HEADER..end), message.get(HEADER..end));
        asked.zip(echoed).is_some_and(|(asked, echoed)| asked.eq_ignore_ascii_case(echoed))
    };
    // A server that does not understand a query may leave the question out.
    let without_question = || word(message, 4) == Some(0) && code(message) != Some(NO_ERROR);
    let is_response = message.get(2).is_some_and(|flags| flags & RESPONSE != 0);
    word(message, 0) == Some(number) && is_response && (same_question() || without_question())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns.is_some().into()];
        message.extend(encode(name));
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        if let Some(size) = edns {
            message.extend([0, 0, 41]);
            message.extend(size.to_be_bytes());
            message.extend([0; 6]);
        }
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let message = query("WeB.Net", A, Some(1400));
        let question = parse(&message).unwrap();
        assert_eq!((question.name.as_str(), question.kind, question.edns), ("web.net", A, Some(1400)));
        let address = Data::Address("10.0.0.2".parse().unwrap());
        let answer = answer(&message, &question, &[address], limit(&question));
        assert!(answers(&answer, 0x1234, &message, question.end));
        assert_eq!(answer[2..12], [0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
        assert_eq!(answer[12..question.end], message[12..question.end], "the name's spelling is kept");
        assert_eq!(answer[question.end..][..12], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        assert_eq!(answer[question.end + 12..][..4], [10, 0, 0, 2]);
        assert_eq!(answer.len(), question.end + 16 + 11);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let many: Vec<Data> = (0..100_u8).map(|last| Data::Address([10, 0, 0, last].into())).collect();
        for (edns, most) in [(None, SMALLEST), (Some(100), SMALLEST), (Some(9000), LARGEST)] {
            let message = query("web", A, edns);
            let question = parse(&message).unwrap();
            let short = answer(&message, &question, &many, limit(&question));
            assert!(short.len() <= most && short.len() > most - 16, "{}", short.len());
            assert_eq!(short[2] & TRUNCATED, TRUNCATED);
            let whole = answer(&message, &question, &many, 65535);
            assert_eq!((whole[2] & TRUNCATED, &whole[6..8]), (0, &[0, 100][..]));
        }
    }

    #[test]
    fn what_is_no_query_is_refused_or_ignored() {
        let good = query("web", A, None);
        let changed = |at: usize, value: u8| {
            let mut message = good.clone();
            message[at] = value;
            parse(&message)
        };
        assert_eq!(changed(2, 0x80), Err(None), "a response");
        assert_eq!(changed(2, 0x28), Err(Some(NOT_IMPLEMENTED)), "an update");
        assert_eq!(changed(5, 2), Err(Some(MALFORMED)), "two questions");
        assert_eq!(changed(12, 0xc0), Err(Some(MALFORMED)), "a reference in the question");
        assert_eq!(parse(&good[..11]), Err(None));
        assert_eq!(parse(&good[..good.len() - 1]), Err(Some(MALFORMED)));
        assert_eq!(failure(&good[..12], None, MALFORMED)[..6], [0x12, 0x34, 0x81, 0x81, 0, 0]);
    }

    #[test]
    fn reverse_names_are_read() {
        assert_eq!(reverse("2.0.17.172.in-addr.arpa"), Some("172.17.0.2".parse().unwrap()));
        let v6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reverse(v6), Some("fd00::2".parse().unwrap()));
        for wrong in ["17.172.in-addr.arpa", "300.0.0.1.in-addr.arpa", "1.ip6.arpa", "web", "x.ip6.arpa"] {
            assert_eq!(reverse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(question) = parse(&bytes) {
                prop_assert!(question.end <= bytes.len());
                answer(&bytes, &question, &[Data::Name("a.b".into())], SMALLEST);
                answers(&bytes, 1, &bytes, question.end);
            }
            failure(&bytes, None, MALFORMED);
        }

        #[test]
        fn damaged_queries_are_read_without_a_panic(at in 0_usize..40, value in any::<u8>()) {
            let mut message = query("some.name", AAAA, Some(1232));
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            if let Ok(question) = parse(&message) {
                answer(&message, &question, &[], limit(&question));
            }
        }

        #[test]
        fn names_survive(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 1..6)) {
            let name = labels.join(".");
            prop_assert_eq!(parse(&query(&name, PTR, None)).unwrap().name, name);
        }

        #[test]
        fn texts_are_reversed_without_a_panic(name in ".{0,80}") {
            let _ = reverse(&name);
        }
    }
}
