//! What the fuzz target does with its inputs, done here with inputs that are made up or known to be nasty.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

#[path = "../../../fuzz/harness/registry.rs"]
mod harness;

use proptest::prelude::*;

/// What once made somebody's parser fail, or might.
const NASTY: &[&str] = &[
    "",
    "Bearer",
    "Bearer realm=",
    "Bearer realm=\"\\",
    "Bearer realm=\"a\",,,=,\"",
    "Basic, Bearer realm=\"https://a/b\",service=x scope",
    "Basic Og==",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
    "bytes=18446744073709551615-",
    "bytes=-18446744073709551616",
    "bytes 18446744073709551615-18446744073709551615/*",
    "0-18446744073709551614",
    "0-18446744073709551615",
    "a/../b",
    "../a",
    "a//b",
    r#"{"schemaVersion":2}"#,
    r#"{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
    r#"{"schemaVersion":2,"config":{"digest":"sha256:../../etc/passwd","size":-1},"layers":[]}"#,
    r#"{"schemaVersion":2,"mediaType":"a\nb","config":null,"layers":null}"#,
    r#"{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci;image"}"#,
    r#"{"schemaVersion":2,"manifests":[],"mediaType":" application/vnd.oci.image.index.v1+json"}"#,
    r#"{"errors":[{"code":1}],"details":{"a":[]}}"#,
    "[host.\"x\"]\nca=[[[\n",
];

#[test]
fn nasty_input_is_answered() {
    NASTY.iter().for_each(|text| harness::registry(text.as_bytes()));
    harness::registry("[".repeat(100_000).as_bytes());
    harness::registry(&[0xff; 1000]);
}

fn words() -> impl Strategy<Value = String> {
    let word = r#"Bearer |Basic |realm=|scope=|"|,|=|bytes[ =]|[0-9]{1,20}|-|/|\*|\.|\{|\}|\[|\]|:|"(schemaVersion|mediaType|config|layers|manifests|subject|digest|size|errors)"|2|null|"sha256:[0-9a-f]{64}"|e30|[a-z]{1,3}"#;
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn made_up_input_is_answered(text in words()) {
        harness::registry(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        harness::registry(&bytes);
    }

    #[test]
    fn damaged_input_is_answered(number in 0..NASTY.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = NASTY[number].as_bytes().to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        harness::registry(&bytes);
    }
}
