//! Images that come in as archives: root file systems, docker-archive and OCI layout.

use std::path::Path;
use std::process::Command;

use wharf_testkit::golden::{Archive, busybox_rootfs};
use wharf_testkit::{Options, Output, TempEngine, foreign};

fn empty() -> TempEngine {
    TempEngine::start_with(Options { without_image: true, ..Options::default() })
}

/// Has skopeo turn a folder-less OCI image of busybox into an archive of the given transport.
fn archive(engine: &TempEngine, transport: &str) -> Option<std::path::PathBuf> {
    let skopeo = foreign::need("skopeo")?;
    let scratch = engine.scratch();
    write_oci_layout(&scratch.join("layout"));
    let path = scratch.join("image.tar");
    let from = format!("oci:{}:busybox:archived", scratch.join("layout").display());
    let to = format!("{transport}:{}:docker.io/library/busybox:archived", path.display());
    let mut command = Command::new(skopeo);
    Output::of(command.args(["--insecure-policy", "copy", "--quiet", &from, &to]), b"").ok();
    Some(path)
}

/// An OCI layout with one uncompressed layer, made by hand.
fn write_oci_layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |content: &[u8]| {
        let output = Output::of(Command::new("sha256sum").stdin(std::process::Stdio::piped()), content).ok();
        let digest = output.line().split(' ').next().unwrap().to_owned();
        std::fs::write(blobs.join(&digest), content).unwrap();
        (format!("sha256:{digest}"), content.len())
    };
    let (layer, layer_size) = blob(busybox_rootfs());
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["echo", "from an archive"]},
        "rootfs": {"type": "layers", "diff_ids": [layer]}
    });
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}]
    });
    let (manifest, manifest_size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
        "annotations": {"org.opencontainers.image.ref.name": "busybox:archived"}
    }]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_docker_archive_is_loaded_and_runs() {
    let engine = empty();
    let Some(path) = archive(&engine, "docker-archive") else { return };
    let output = engine.cli(&["load", "-i", path.to_str().unwrap()]).ok();
    assert!(output.stdout.contains("Loaded image: busybox:archived"), "{}", output.stdout);
    assert_eq!(engine.cli(&["run", "--rm", "busybox:archived"]).ok().stdout, "from an archive\n");
    engine.finish();
}

#[test]
fn an_oci_archive_is_loaded_and_runs() {
    let engine = empty();
    let Some(path) = archive(&engine, "oci-archive") else { return };
    let content = std::fs::read(&path).unwrap();
    engine.cli_stdin(&["load"], &content).ok();
    assert_eq!(engine.cli(&["run", "--rm", "busybox:archived"]).ok().stdout, "from an archive\n");
    engine.finish();
}

#[test]
fn a_root_file_system_is_imported_from_a_file_and_a_pipe() {
    let engine = empty();
    let path = engine.scratch().join("rootfs.tar");
    std::fs::write(&path, busybox_rootfs()).unwrap();
    let id = engine.cli(&["import", "-c", "CMD [\"echo\",\"imported\"]", path.to_str().unwrap(), "one:x"]).ok();
    assert!(id.line().starts_with("sha256:"), "{}", id.stdout);
    engine.cli_stdin(&["import", "-", "two:x"], busybox_rootfs()).ok();
    assert_eq!(engine.cli(&["run", "--rm", "one:x"]).ok().stdout, "imported\n");
    engine.cli(&["run", "--rm", "two:x", "true"]).ok();
    engine.finish();
}

#[test]
fn an_image_is_listed_tagged_and_removed() {
    let engine = TempEngine::start();
    let id = engine.cli(&["images", "-q", "--no-trunc"]).ok();
    engine.cli(&["tag", "busybox:test", "other:name"]).ok();
    let names = engine.cli(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(names.stdout.lines().any(|line| line == "other:name"), "{}", names.stdout);
    engine.cli(&["rmi", "busybox:test"]).ok();
    assert_eq!(engine.cli(&["images", "-q", "--no-trunc"]).ok().line(), id.line());
    engine.cli(&["rmi", "other:name"]).ok();
    assert_eq!(engine.cli(&["images", "-q"]).ok().stdout, "");
    engine.finish();
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let engine = empty();
    let whole = busybox_rootfs();
    let truncated = &whole[..whole.len() / 2];
    let not_an_image = Archive::new().file("manifest.json", 0o644, b"[{").finish();
    let archives: [(&str, &[u8]); 3] =
        [("truncated", truncated), ("noise", &[0xa5; 4096]), ("manifest", &not_an_image)];
    for (what, bytes) in archives {
        let output = engine.cli_stdin(&["load"], bytes).exits(1);
        assert!(!output.stderr.is_empty(), "{what}");
    }
    let output = engine.cli_stdin(&["import", "-", "broken:x"], truncated).exits(1);
    assert!(!output.stderr.is_empty());
    assert_eq!(engine.cli(&["images", "-aq"]).ok().stdout, "");
    engine.finish();
}
