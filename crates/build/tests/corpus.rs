//! Dockerfiles as people write them: all are read, planned for two platforms and checked. Those that need nothing but
//! busybox are built by the end-to-end tests.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wharf_build::dockerfile::{self, Source, lint};
use wharf_build::plan::{self, Images, Lowered, NamedContext, Options, Plan};
use wharf_image::{Descriptor, Image, ImageDocument, RootFs, media_type};
use wharf_storage::BlobInfo;
use wharf_types::Digest;

fn corpus() -> Vec<(String, Source)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = Source::new(name.clone(), std::fs::read_to_string(path).unwrap());
        (name, source)
    };
    files.into_iter().map(read).collect()
}

/// An image with one layer that is not here.
fn image(name: &str) -> Image {
    let digest = Digest::of(name.as_bytes());
    let descriptor = Descriptor::new(media_type::OCI_MANIFEST, BlobInfo { digest, size: 1 });
    let mut document = ImageDocument { rootfs: RootFs::of(vec![digest]), ..ImageDocument::default() };
    document.config.env = vec!["PATH=/usr/bin:/bin".into()];
    Image {
        id: digest,
        target: descriptor.clone(),
        manifest: descriptor,
        tags: Vec::new(),
        digests: Vec::new(),
        document: Arc::new(document),
        parent: None,
        size: 0,
        layers: Vec::new(),
    }
}

fn plan(name: &str, source: &Source, platform: &str) -> Plan {
    let file = dockerfile::parse(source).unwrap_or_else(|failure| panic!("{name}: {}", failure.message));
    let contexts = BTreeMap::from([("shared".to_owned(), NamedContext::Files)]);
    let options = Options { platform: Some(platform.parse().unwrap()), contexts, ..Options::default() };
    let mut images = Images::new();
    loop {
        match plan::lower(&file, &options, &images).unwrap_or_else(|failure| panic!("{name}: {}", failure.message)) {
            Lowered::Plan(plan) => return *plan,
            Lowered::Needs(needs) => images.extend(needs.into_iter().map(|(need, _)| {
                let found = Arc::new(image(&need.name));
                (need, found)
            })),
        }
    }
}

#[test]
fn all_are_read_and_planned() {
    let corpus = corpus();
    assert!(corpus.len() >= 40, "{}", corpus.len());
    for (name, source) in corpus {
        let plan = plan(&name, &source, "linux/amd64");
        assert!(plan.result < plan.nodes.len() && !plan.lines.is_empty(), "{name}");
        assert_eq!(plan.history.len(), plan.document.history.len(), "{name}");
        // Nothing of what is written is lost on the way: each instruction of a needed stage is a line.
        let text = format!("{:?}", plan.lines);
        let last = source.text.lines().rev().find(|line| line.starts_with("CMD") || line.starts_with("ENTRYPOINT"));
        assert!(last.is_none_or(|line| text.contains(line.split(' ').next().unwrap())), "{name}");
    }
}

#[test]
fn another_platform_changes_what_is_asked_for() {
    let (name, source) = corpus().into_iter().find(|(name, _)| name == "go-cross").unwrap();
    let nodes = |platform| format!("{:?}", plan(&name, &source, platform).nodes);
    assert!(nodes("linux/arm64").contains("TARGETARCH=arm64") && nodes("linux/amd64").contains("TARGETARCH=amd64"));
}

#[test]
fn the_linter_finds_what_is_known() {
    let known = BTreeMap::from(KNOWN.map(|(name, rules)| (name.to_owned(), rules.to_vec())));
    for (name, source) in corpus() {
        let file = dockerfile::parse(&source).unwrap();
        let found: Vec<&str> =
            lint::check(&file, &lint::Known::default()).into_iter().map(|warning| warning.rule).collect();
        assert_eq!(found, known.get(&name).cloned().unwrap_or_default(), "{name}");
    }
}

/// What is to be found; nothing in all others.
const KNOWN: [(&str, &[&str]); 1] = [(
    "old-style",
    &[
        "FromAsCasing",
        "StageNameCasing",
        "MaintainerDeprecated",
        "LegacyKeyValueFormat",
        "SecretsUsedInArgOrEnv",
        "WorkdirRelativePath",
        "JSONArgsRecommended",
        "MultipleInstructionsDisallowed",
    ],
)];
