//! One name, several platforms: over the API, by our command line and by Docker's.

use serde_json::{Value, json};
use wharf_testkit::golden::{Archive, busybox_rootfs};
use wharf_testkit::registry::{INDEX, MANIFEST, digest};
use wharf_testkit::{Options, TempEngine};

const AMD64: &str = "linux/amd64";
const S390X: &str = r#"{"os":"linux","architecture":"s390x"}"#;

/// An OCI archive of `multi:1` for two platforms, with attestations about the first.
fn archive() -> Vec<u8> {
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut blob = |media_type: &str, bytes: Vec<u8>| -> Value {
        let descriptor = json!({"mediaType": media_type, "digest": digest(&bytes), "size": bytes.len()});
        files.push(bytes);
        descriptor
    };
    let mut members = Vec::new();
    for (architecture, word) in [("amd64", "here"), ("s390x", "there")] {
        let own = Archive::new().file("word", 0o644, word.as_bytes()).finish();
        let layers = [busybox_rootfs().to_vec(), own];
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["cat", "/word"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "base"}, {"created_by": format!("COPY {word}")}],
        });
        let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let layers = layers.map(|layer| blob("application/vnd.oci.image.layer.v1.tar", layer));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut member = blob(MANIFEST, manifest.to_string().into_bytes());
        member["platform"] = json!({"os": "linux", "architecture": architecture});
        members.push(member);
    }
    let empty = blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let attested = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-test", "config": empty,
        "layers": [empty], "subject": {"mediaType": MANIFEST, "digest": members[0]["digest"], "size": members[0]["size"]},
    });
    let mut attested = blob(MANIFEST, attested.to_string().into_bytes());
    attested["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attested["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": members[0]["digest"],
    });
    members.push(attested);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": members});
    let mut line = blob(INDEX, index.to_string().into_bytes());
    line["annotations"] = json!({"io.containerd.image.name": "docker.io/library/multi:1"});
    let index = json!({"schemaVersion": 2, "manifests": [line]}).to_string();
    let mut archive = Archive::new().file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    archive = archive.file("index.json", 0o644, index.as_bytes());
    files.sort();
    files.dedup();
    for bytes in files {
        archive = archive.file(&format!("blobs/sha256/{}", &digest(&bytes)["sha256:".len()..]), 0o644, &bytes);
    }
    archive.finish()
}

fn loaded() -> TempEngine {
    let engine = TempEngine::start_with(Options { without_image: true, ..Options::default() });
    engine.cli_stdin(&["load"], &archive()).ok();
    engine
}

#[test]
fn platforms_are_shown_picked_and_removed() {
    let engine = loaded();
    let all = engine.get("/images/multi:1/json?manifests=1");
    let kinds: Vec<&str> = all["Manifests"].as_array().unwrap().iter().map(|m| m["Kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["image", "image", "attestation"]);
    assert_eq!(all["Descriptor"]["mediaType"], INDEX);
    let [first, second, about] = &all["Manifests"].as_array().unwrap()[..] else { panic!("{all}") };
    assert_eq!(about["AttestationData"]["For"], first["ID"]);
    assert_eq!(
        (&second["Available"], &second["ImageData"]["Platform"]["architecture"]),
        (&json!(true), &json!("s390x"))
    );
    let sizes = &first["Size"];
    let unpacked = first["ImageData"]["Size"]["Unpacked"].as_i64().unwrap();
    assert_eq!(sizes["Total"].as_i64().unwrap(), sizes["Content"].as_i64().unwrap() + unpacked);
    assert!(unpacked > 0);
    let list = engine.get("/images/json?manifests=1");
    assert_eq!(list[0]["Manifests"].as_array().unwrap().len(), 3);
    assert!(engine.get("/images/json")[0].get("Manifests").is_none());

    let shown = |platform: &str| {
        engine.cli(&["image", "inspect", "--platform", platform, "--format", "{{.Architecture}}", "multi:1"])
    };
    assert_eq!((shown(AMD64).ok().line(), shown("linux/s390x").ok().line()), ("amd64", "s390x"));
    let failed = shown("linux/arm64").exits(1);
    let sentence = "image with reference multi:1 was found but does not provide the specified platform (linux/arm64)";
    assert!(failed.stderr.contains(sentence), "{}", failed.stderr);
    let history = engine.cli(&["history", "--platform", "linux/s390x", "--format", "{{.CreatedBy}}", "multi:1"]).ok();
    assert_eq!(history.stdout, "COPY there\nbase\n");
    let tree = engine.cli(&["images", "--tree"]).ok().stdout;
    assert!(tree.contains("├─ linux/amd64") && tree.contains("└─ linux/s390x"), "{tree}");
    let mut http = engine.http();
    for (path, status) in [
        (format!("/images/multi:1/json?manifests=1&platform={S390X}"), 400),
        ("/images/multi:1/json?platform={\"os\":\"linux\"}".to_owned(), 400),
        ("/v1.47/images/multi:1/json?platform=nonsense".to_owned(), 200),
    ] {
        assert_eq!(
            http.get(&path.replace('"', "%22").replace('{', "%7B").replace('}', "%7D")).unwrap().status,
            status,
            "{path}"
        );
    }

    // A running container keeps its platform; the other one goes, and is known as one that is not here.
    engine.cli(&["run", "-d", "--name", "busy", "multi:1", "sleep", "1000"]).ok();
    let manifest = &engine.get("/containers/busy/json")["ImageManifestDescriptor"];
    assert_eq!((&manifest["digest"], &manifest["platform"]["architecture"]), (&first["ID"], &json!("amd64")));
    let busy = engine.cli(&["rmi", "--platform", AMD64, "multi:1"]).exits(1);
    assert!(busy.stderr.contains("is being used by running container"), "{}", busy.stderr);
    let gone = engine.cli(&["rmi", "--platform", "linux/s390x", "multi:1"]).ok();
    assert_eq!(gone.stdout, format!("Deleted: {}\n", second["ID"].as_str().unwrap()));
    let all = engine.get("/images/multi:1/json?manifests=1");
    assert_eq!(all["Manifests"][1]["Available"], false);
    engine.cli(&["rm", "-f", "busy"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "multi:1"]).ok().stdout, "here");
    engine.cli(&["system", "check"]).ok();
    engine.cli(&["rmi", "multi:1"]).ok();
    engine.finish();
}

#[test]
fn dockers_own_command_line_picks_platforms() {
    let engine = loaded();
    // Before 28 it does not know the flags.
    let knows = engine.docker(&["history", "--help"]).is_some_and(|help| help.stdout.contains("--platform"));
    if !knows {
        eprintln!("SKIPPED: Debian's docker knows no --platform for history");
        engine.finish();
        return;
    }
    let docker = |arguments: &[&str]| engine.docker(arguments).unwrap();
    let shown =
        docker(&["image", "inspect", "--platform", "linux/s390x", "--format", "{{.Architecture}}", "multi:1"]).ok();
    assert_eq!(shown.line(), "s390x");
    let history = docker(&["history", "--platform", "linux/s390x", "--format", "{{.CreatedBy}}", "multi:1"]).ok();
    assert_eq!(history.stdout, "COPY there\nbase\n");
    let tree = docker(&["images", "--tree"]).ok().stdout;
    assert!(tree.contains("linux/amd64") && tree.contains("linux/s390x"), "{tree}");
    let saved = engine.scratch().join("one.tar");
    docker(&["save", "--platform", "linux/s390x", "-o", saved.to_str().unwrap(), "multi:1"]).ok();
    let gone = docker(&["rmi", "--platform", "linux/s390x", "multi:1"]).ok();
    assert!(gone.stdout.starts_with("Deleted: sha256:"), "{}", gone.stdout);
    assert!(docker(&["image", "inspect", "--platform", "linux/s390x", "multi:1"]).code != 0);
    docker(&["load", "--platform", "linux/s390x", "-i", saved.to_str().unwrap()]).ok();
    let shown = docker(&["image", "inspect", "--format", "{{.Architecture}}", "multi:1"]).ok();
    assert_eq!(shown.line(), "s390x");
    engine.finish();
}
