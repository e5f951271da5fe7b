//! Another program reads the store in place, and reads and writes our archives.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test says what is wrong by where it fails, and what it skips

mod support;

use std::process::Command;

use support::{Fixture, Layout, docker_archive, gzip, layer};
use wharf_types::Platform;

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

/// umoci unpacks what it finds in the store to the same files as we.
#[test]
fn umoci_unpacks_the_store_in_place() {
    let fixture = Fixture::new();
    let layers = [layer(&[("a", b"1"), ("b", b"2")]), layer(&[(".wh.a", b""), ("c", b"3")])];
    fixture.store.load(&gzip(&docker_archive("web:1", &layers))[..], None, &|_| {}).unwrap();
    let content = fixture.folder.path().join("content");
    let bundle = fixture.folder.path().join("bundle");
    let unpack = Command::new("umoci")
        .args(["unpack", "--image", &format!("{}:web:1", content.display())])
        .arg(&bundle)
        .output();
    let output = match unpack {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: umoci is not installed");
            return;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<_> =
        std::fs::read_dir(bundle.join("rootfs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["b", "c"]);
    // It has changed nothing: the store reads itself as before.
    assert!(fixture.reopen().store.resolve("web:1").is_ok());
}

#[test]
fn skopeo_reads_an_index_of_several_platforms_in_place() {
    let fixture = Fixture::new();
    let mut layout = Layout::default();
    let host = layout.image(&[layer(&[("a", b"1")])], &Platform::host(), gzip);
    let other = Platform { architecture: "s390x".into(), ..Platform::host() };
    let other = layout.image(&[layer(&[("b", b"2")])], &other, gzip);
    let index = layout.index(&[host, other]);
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let note = layout.artifact(&empty, &index);
    layout.line(index.clone(), serde_json::json!({"io.containerd.image.name": "docker.io/library/multi:1"}));
    layout.line(note, serde_json::json!({}));
    fixture.store.load(&layout.tar()[..], None, &|_| {}).unwrap();
    let content = fixture.folder.path().join("content");
    let from = format!("oci:{}:multi:1", content.display());
    let Some(text) = skopeo(&["inspect", "--raw", &from]) else { return };
    let raw: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(raw["manifests"].as_array().unwrap().len(), 2);
    for (arguments, manifests) in [(&[][..], 1), (&["--all"], 2)] {
        let copy = fixture.folder.path().join(format!("copy{manifests}"));
        let to = format!("oci:{}:x", copy.display());
        skopeo(&[&["copy"], arguments, &[&from, &to]].concat());
        let configs = std::fs::read_dir(copy.join("blobs/sha256")).unwrap().count();
        assert_eq!(configs, if manifests == 2 { 7 } else { 3 });
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
