//! Byte ranges (RFC 9110, 14).

/// Reads a `Content-Range`: first byte, last byte, and the length of the whole where it is told.
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let whole = if whole.trim() == "*" { None } else { Some(whole.trim().parse().ok()?) };
    (first <= last && whole.is_none_or(|whole| last < whole)).then_some((first, last, whole))
}

/// Reads the `Range` of an upload's status, `0-99` or `bytes=0-99`: how many bytes the registry has.
///
/// `0-0` is what registries say both of one byte and of none at all; none is the safe reading.
pub(crate) fn upload_offset(text: &str) -> Option<u64> {
    let text = text.trim();
    let (first, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let last: u64 = last.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }.filter(|_| first == "0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for text in ["bytes */10", "5-9/10", "bytes 9-5/10", "bytes 5-10/10", "bytes x-9/10"] {
            assert_eq!(content_range(text), None, "{text}");
        }
        assert_eq!(
            (upload_offset("0-99"), upload_offset("bytes=0-99"), upload_offset("0-0")),
            (Some(100), Some(100), Some(0))
        );
        assert_eq!((upload_offset("5-9"), upload_offset("x")), (None, None));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}|bytes [0-9*/-]{0,30}") {
            content_range(&text);
            upload_offset(&text);
        }
    }
}
