//! Another program reads the store in place, and reads and writes our archives.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test says what is wrong by where it fails, and what it skips

mod support;

use std::process::Command;

use support::{Fixture, docker_archive, gzip, layer};

/// Runs skopeo; `None`, loudly, where it is not installed.
fn skopeo(args: &[&str]) -> Option<String> {
    let policy = "--insecure-policy";
    match Command::new("skopeo").arg(policy).args(args).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: skopeo is not installed, so nothing foreign has read the store");
            None
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}

#[test]
fn skopeo_reads_the_store_in_place() {
    let fixture = Fixture::new();
    let layers = [layer(&[("a", b"1")]), layer(&[("b", b"2")])];
    fixture.store.load(&gzip(&docker_archive("web:1", &layers))[..], None, &|_| {}).unwrap();
    fixture.import("c", Some("ghcr.io/o/other"));
    let content = fixture.folder.path().join("content");
    for name in ["web:1", "ghcr.io/o/other:latest"] {
        let image = fixture.store.resolve(name).unwrap();
        let Some(text) = skopeo(&["inspect", &format!("oci:{}:{name}", content.display())]) else { return };
        let inspected: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(inspected["Digest"], image.manifest.digest.to_string());
        assert_eq!(inspected["Layers"].as_array().unwrap().len(), image.layers.len());
        let copy = format!("dir:{}", fixture.folder.path().join("copy").display());
        skopeo(&["copy", &format!("oci:{}:{name}", content.display()), &copy]);
    }
}

#[test]
fn skopeo_and_we_read_each_others_archives() {
    let fixture = Fixture::new();
    let layers = [layer(&[("a", b"1")]), layer(&[("b", b"2")])];
    fixture.store.load(&docker_archive("web:1", &layers)[..], None, &|_| {}).unwrap();
    let id = fixture.store.resolve("web:1").unwrap().id;
    let path = |name: &str| fixture.folder.path().join(name).display().to_string();
    fixture.store.save(&["web:1"], None, std::fs::File::create(path("ours.tar")).unwrap()).unwrap();
    for (from, to) in [
        (format!("docker-archive:{}:web:1", path("ours.tar")), format!("docker-archive:{}:web:2", path("docker.tar"))),
        (format!("oci-archive:{}:web:1", path("ours.tar")), format!("oci-archive:{}:web:3", path("oci.tar"))),
    ] {
        if skopeo(&["copy", &from, &to]).is_none() {
            return;
        }
    }
    for archive in ["docker.tar", "oci.tar"] {
        fixture.store.load(std::fs::File::open(path(archive)).unwrap(), None, &|_| {}).unwrap();
    }
    assert_eq!(fixture.tags(), ["web:1", "web:2", "web:3"]);
    assert_eq!(fixture.store.resolve("web:2").unwrap().id, id);
    assert_eq!(fixture.store.resolve("web:3").unwrap().id, id);
}
