//! `wharf registry serve` with clients of others, and what it says when it cannot start.

use std::process::Command;

use serde_json::json;
use wharf_testkit::served::digest;
use wharf_testkit::{Output, TempEngine, TempRegistry, engine, foreign, golden};

use crate::registries::Distribution;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Pushes an image of the golden root file system; gives its digest.
fn push_golden(registry: &TempRegistry, name: &str, tag: &str) -> String {
    let layer = golden::busybox_rootfs();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
    });
    let config = config.to_string();
    let (config_digest, layer_digest) = (registry.push_blob(name, config.as_bytes()), registry.push_blob(name, layer));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": LAYER, "digest": layer_digest, "size": layer.len() }],
    });
    registry.push_manifest(name, tag, MANIFEST, manifest.to_string().as_bytes())
}

#[test]
fn skopeo_copies_both_ways_with_a_login() {
    let Some(skopeo) = foreign::need("skopeo") else { return };
    let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    let users = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    std::fs::write(folder.path().join("rules"), "anna * **\nanonymous pull public/**\n").unwrap();
    let registry = TempRegistry::start_in(folder, &["--htpasswd", "{}/users", "--rules", "{}/rules"]);
    let plain = TempRegistry::start();
    let image = push_golden(&plain, "public/box", "v1");
    let copy = |arguments: &[&str]| {
        let mut command = Command::new(&skopeo);
        command
            .args(["copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"])
            .args(arguments);
        Output::of(command.env("HOME", registry.folder()), b"")
    };
    let (source, target) = (
        format!("docker://{}", plain.reference("public/box:v1")),
        format!("docker://{}", registry.reference("public/box:v1")),
    );
    assert_ne!(copy(&[&source, &target]).code, 0, "nobody may push unnamed");
    assert_ne!(copy(&["--dest-creds", "anna:wrong", &source, &target]).code, 0);
    copy(&["--dest-creds", "anna:secret", &source, &target]).ok();
    let layout = format!("oci:{}:v1", registry.folder().join("layout").display());
    copy(&[&target, &layout]).ok();
    let index = std::fs::read_to_string(registry.folder().join("layout/index.json")).unwrap();
    assert!(index.contains(&image), "the same bytes came back: {index}");
}

#[test]
fn mistakes_at_the_start_are_told_with_a_hint() {
    let registry = TempRegistry::start();
    let folder = registry.folder();
    std::fs::write(folder.join("md5"), "anna:$apr1$x$yyyyyyyyyyyyyyyyyyyyyy\n").unwrap();
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    std::fs::write(folder.join("file"), "").unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    for (arguments, sentence, hint) in [
        (vec!["--listen".to_owned(), registry.address().to_owned()], "cannot listen on", "choose another port"),
        (vec!["--root".to_owned(), path("root")], "another registry serves", "stop that one"),
        (vec!["--root".to_owned(), path("file/root")], "cannot be used", "--root"),
        (vec!["--htpasswd".to_owned(), path("md5")], "line 1", "htpasswd -B"),
        (vec!["--htpasswd".to_owned(), path("none")], "cannot read", ""),
        (
            vec!["--tls-cert".to_owned(), path("empty.pem"), "--tls-key".to_owned(), path("empty.pem")],
            "empty.pem cannot be used",
            "PEM",
        ),
        (vec!["--tls-cert".to_owned(), path("empty.pem")], "needs its key", "--tls-key"),
        (vec!["--grace".to_owned(), "soon".to_owned()], "\"soon\" is no time", "24h"),
        (vec!["--cache".to_owned(), "http://".to_owned()], "no registry to cache", "docker.io"),
    ] {
        let mut command = Command::new(engine::program());
        let root = path("other");
        command.env_clear().args(["registry", "serve", "--listen", "127.0.0.1:0", "--root", &root]).args(&arguments);
        let output = Output::of(&mut command, b"");
        assert_eq!(output.code, 1, "{arguments:?}");
        assert!(output.stderr.contains(sentence) && output.stderr.contains(hint), "{arguments:?}: {}", output.stderr);
    }
}

#[test]
fn a_cache_serves_what_upstream_had_when_it_is_gone() {
    let upstream = TempRegistry::start();
    let image = push_golden(&upstream, "team/box", "v1");
    let cache = TempRegistry::start_with(&["--cache", &format!("up={}", upstream.address()), "--cache-fresh", "0s"]);
    let layer = digest(golden::busybox_rootfs());
    let blob = format!("/v2/up/team/box/blobs/{layer}");
    // Many at once: one download.
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..6).map(|_| scope.spawn(|| cache.request("GET", &blob, &[], b"").unwrap())).collect();
        for pull in pulls {
            let reply = pull.join().unwrap();
            assert_eq!((reply.status, digest(&reply.body)), (200, layer.clone()));
        }
    });
    let asked = upstream.log().lines().filter(|line| line.contains("\"GET\"") && line.contains(&layer)).count();
    assert_eq!(asked, 1, "{}", upstream.log());
    let manifest = |reference: &str| cache.request("GET", &format!("/v2/up/team/box/manifests/{reference}"), &[], b"");
    assert_eq!(manifest("v1").unwrap().header("docker-content-digest"), image);
    let part = cache.request("GET", &blob, &[("Range", "bytes=10-19")], b"").unwrap();
    assert_eq!((part.status, part.body.len()), (206, 10));
    let second = push_golden(&upstream, "team/box", "v2");
    assert_eq!(manifest("v2").unwrap().header("docker-content-digest"), second);
    assert_eq!(manifest("v3").unwrap().status, 404);
    assert_eq!(cache.request("POST", "/v2/up/team/box/blobs/uploads/", &[], b"").unwrap().status, 405);
    drop(upstream);
    assert_eq!(manifest("v1").unwrap().header("docker-content-digest"), image);
    assert_eq!(cache.request("GET", &blob, &[], b"").unwrap().status, 200);
    assert_eq!(manifest("v4").unwrap().status, 503);
    let tags = cache.request("GET", "/v2/up/team/box/tags/list", &[], b"").unwrap().json();
    assert_eq!(tags["tags"], json!(["v1", "v2"]));
}

#[test]
fn a_cache_logs_in_at_debians_registry_and_serves_everybody() {
    let folder = tempfile::tempdir().unwrap();
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    let users = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    let users = "auth: {htpasswd: {realm: test, path: {}/users}}";
    let Some(upstream) = Distribution::start_in(folder, "", users) else { return };
    let engine = TempEngine::start();
    let name = format!("{}/team/box:1", upstream.address);
    engine.cli(&["tag", "busybox:test", &name]).ok();
    engine.cli_stdin(&["login", "-u", "anna", "--password-stdin", &upstream.address], b"secret").ok();
    engine.cli(&["push", &name]).ok();
    engine.cli(&["logout", &upstream.address]).ok();
    engine.cli(&["rmi", &name, "busybox:test"]).ok();

    let folder = || tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    let origin = format!("up={}", upstream.address);
    let arguments = ["--cache", &origin, "--cache-user", "anna"];
    let wrong = TempRegistry::start_with_variables(folder(), &arguments, &[("WHARF_CACHE_PASSWORD", "wrong")]);
    engine.cli(&["pull", &wrong.reference("up/team/box:1")]).exits(1);
    let cache = TempRegistry::start_with_variables(folder(), &arguments, &[("WHARF_CACHE_PASSWORD", "secret")]);
    let cached = cache.reference("up/team/box:1");
    assert_eq!(engine.cli(&["run", "--rm", &cached, "echo", "here"]).ok().stdout, "here\n");
    engine.cli(&["rmi", &cached]).ok();
    drop(upstream);
    assert_eq!(engine.cli(&["run", "--rm", &cached, "echo", "still"]).ok().stdout, "still\n");
    let numbers = cache.request("GET", "/metrics", &[], b"").unwrap().text();
    let line = |name: &str| numbers.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert_ne!(line("wharf_registry_cache_hits_total"), "wharf_registry_cache_hits_total 0", "{numbers}");
    assert_ne!(line("wharf_registry_upstream_bytes_total"), "wharf_registry_upstream_bytes_total 0", "{numbers}");
    engine.finish();
}
