//! What the fuzz targets do with their inputs, done here with inputs that are made up or known to be nasty.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

#[path = "../../../fuzz/harness/documents.rs"]
mod documents;
#[path = "../../../fuzz/harness/references.rs"]
mod references;
mod support;
#[path = "../../../fuzz/harness/tar.rs"]
mod tar_harness;

use proptest::prelude::*;
use support::layer;

/// Documents that once made somebody's parser fail, or might.
const NASTY: &[&str] = &[
    "",
    "null",
    "[]",
    "{}",
    "[[[[[[[[[[",
    r#"{"manifests":[]}"#,
    r#"{"manifests":null,"schemaVersion":2}"#,
    r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:00","size":-1}]}"#,
    r#"{"schemaVersion":2,"manifests":[{"mediaType":1,"digest":"../../etc/passwd","size":1}]}"#,
    r#"{"schemaVersion":2,"config":{"digest":"sha512:00","size":1},"layers":[]}"#,
    r#"{"rootfs":{"type":"layers","diff_ids":[]},"os":"linux","architecture":"amd64","history":[{"empty_layer":false}]}"#,
    r#"{"rootfs":{"type":"layers","diff_ids":[]},"os":null,"config":{"Env":[1]},"created":"yesterday"}"#,
    r#"{"rootfs":{"diff_ids":[]},"config":{"Cmd":"text"},"history":null}"#,
    r#"[{"Config":"../../../etc/shadow","RepoTags":["a"],"Layers":[]}]"#,
    r#"[{"Config":"manifest.json","RepoTags":null,"Layers":null}]"#,
];

#[test]
fn nasty_documents_are_answered() {
    NASTY.iter().for_each(|text| documents::documents(text.as_bytes()));
    // As deep as the parser goes, and deeper.
    documents::documents("[".repeat(100_000).as_bytes());
}

#[test]
fn nasty_names_are_answered() {
    let long = "a".repeat(5000);
    for text in ["", ":", "@", "a:", "a@sha256:", "/a", "a//b", "A", "a:b:c", "[::1]:5000/a", "localhost:/a", &long] {
        references::references(text.as_bytes());
    }
}

fn document() -> impl Strategy<Value = String> {
    let word = r#"\{|\}|\[|\]|,|:|"(manifests|config|layers|digest|size|rootfs|diff_ids|schemaVersion|os|history|Config|RepoTags|Layers)"|"sha256:[0-9a-f]{64}"|2|-1|null|true|"x""#;
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn made_up_documents_are_answered(text in document()) {
        documents::documents(text.as_bytes());
    }

    #[test]
    fn damaged_documents_are_answered(number in 0..NASTY.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = NASTY[number].as_bytes().to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        documents::documents(&bytes);
    }

    #[test]
    fn damaged_archives_are_answered(flips in prop::collection::vec((0..3072usize, any::<u8>()), 0..8), cut in 0..3072usize) {
        let mut bytes = layer(&[("a/b", b"some data"), (&"long/".repeat(50), b"x")]);
        flips.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        tar_harness::tar_entries(&bytes);
        tar_harness::tar_entries(&bytes[..cut]);
    }

    #[test]
    fn made_up_names_are_answered(text in "[a-zA-Z0-9._:/@-]{0,40}|[a-z]{1,5}(:[0-9]{1,4})?(/[a-z]{1,4}){0,3}(:[a-z0-9]{1,4})?(@sha256:[0-9a-f]{64})?") {
        references::references(text.as_bytes());
    }
}
