//! The garbage collector, at work while the registry is used.

use std::path::Path;
use std::time::Duration;

use wharf_registry::server::Keeping;
use wharf_testkit::served::digest;

use crate::fixture::{MANIFEST, Served, descriptor, eventually};

fn server(grace: Duration) -> Served {
    Served::start_with(|config, _| {
        config.keeping = Keeping {
            grace,
            uploads: Duration::from_millis(500),
            cycle: Duration::from_millis(50),
            ..Keeping::default()
        };
    })
}

fn has(server: &Served, name: &str, kind: &str, digest: &str) -> bool {
    server.send("HEAD", &format!("/v2/{name}/{kind}/{digest}"), &[], b"").status == 200
}

/// Whether the content is on the disk; asking the registry would keep it.
fn stored(server: &Served, digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap();
    server.folder.path().join("root/blobs/sha256").join(&hex[..2]).join(hex).exists()
}

/// How many marks keep a blob: one for each repository that has it and for each manifest that names it.
fn uses(server: &Served, digest: &str) -> usize {
    let hex = digest.strip_prefix("sha256:").unwrap();
    let folder = server.folder.path().join("root/uses").join(&hex[..2]);
    let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(hex)).count()
}

#[test]
fn what_nothing_names_goes_and_what_something_names_stays() {
    let server = server(Duration::from_millis(300));
    let loose = server.push_blob("a", b"loose");
    let image = server.push_image("a", "v1", &["shared", "own"]);
    let other = server.push_image("b", "v1", &["shared"]);
    eventually("the loose blob goes", || !stored(&server, &loose));
    assert!(!has(&server, "a", "blobs", &loose));
    for layer in ["shared", "own"] {
        assert!(stored(&server, &digest(layer.as_bytes())), "{layer}");
    }
    server.expect("DELETE", &format!("/v2/a/manifests/{image}"), &[], b"", 202);
    eventually("what only that image had goes", || !stored(&server, &digest(b"own")));
    // Asking the registry would keep it.
    eventually("only the other repository has the shared one", || uses(&server, &digest(b"shared")) == 2);
    assert!(stored(&server, &digest(b"shared")));
    assert!(has(&server, "b", "manifests", &other));
    eventually("the empty repository leaves the list", || {
        server.get("/v2/_catalog").json()["repositories"] == serde_json::json!(["b"])
    });
    let text = server.get("/metrics").text();
    assert!(!text.contains("collected_blobs_total 0\n"), "{text}");
}

#[test]
fn what_was_uploaded_or_asked_for_is_kept_for_a_while() {
    let server = server(Duration::from_secs(3));
    let blob = server.push_blob("a", b"kept by asking");
    let forgotten = server.push_blob("a", b"forgotten");
    eventually("the other one goes", || {
        assert!(has(&server, "a", "blobs", &blob));
        !stored(&server, &forgotten)
    });
    assert!(stored(&server, &blob));
}

#[test]
fn parts_go_with_their_index_unless_something_else_keeps_them() {
    // A mark that grows old before the request that wrote it is done would be taken for an answered one.
    let server = server(Duration::from_secs(1));
    let (one, two) = (server.push_image("a", "t1", &["1"]), server.push_image("a", "t2", &["2"]));
    let three = server.push_image("a", "t3", &["3"]);
    let first = server.push_index("a", "first", &[&one, &two, &three]);
    server.push_index("a", "second", &[&two]);
    for tag in ["t1", "t2"] {
        server.expect("DELETE", &format!("/v2/a/manifests/{tag}"), &[], b"", 202);
    }
    std::thread::sleep(Duration::from_millis(2200));
    for part in [&one, &two, &three] {
        assert!(has(&server, "a", "manifests", part), "parts are kept by their index");
    }
    server.expect("DELETE", &format!("/v2/a/manifests/{first}"), &[], b"", 202);
    eventually("the part that nothing keeps goes", || !stored(&server, &digest(b"1")));
    assert!(has(&server, "a", "manifests", &two), "another index keeps it");
    assert!(has(&server, "a", "manifests", &three), "a tag keeps it");
    assert!(stored(&server, &digest(b"2")) && stored(&server, &digest(b"3")));
}

#[test]
fn referrers_go_with_their_subject_unless_tagged() {
    // A mark that grows old before the request that wrote it is done would be taken for an answered one.
    let server = server(Duration::from_secs(1));
    let subject = server.push_image("a", "v1", &["1"]);
    let referrer = |reference: Option<&str>, note: &str| {
        let empty = server.push_blob("a", note.as_bytes());
        let document = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("t", &empty), "layers": [],
            "subject": descriptor(MANIFEST, &subject),
        });
        let own = digest(document.to_string().as_bytes());
        server.push_manifest("a", reference.unwrap_or(&own), &document)
    };
    let (plain, tagged) = (referrer(None, "plain"), referrer(Some("sig"), "tagged"));
    std::thread::sleep(Duration::from_millis(2200));
    assert!(has(&server, "a", "manifests", &plain), "its subject keeps it");
    server.expect("DELETE", &format!("/v2/a/manifests/{subject}"), &[], b"", 202);
    eventually("it goes with its subject", || !stored(&server, &digest(b"plain")));
    assert!(has(&server, "a", "manifests", &tagged));
}

#[test]
fn uploads_that_nobody_goes_on_with_expire() {
    let server = server(Duration::from_millis(300));
    let location = server.expect("POST", "/v2/a/blobs/uploads/", &[], b"", 202).header("location").to_owned();
    server.expect("PATCH", &location, &[], b"half", 202);
    eventually("the upload is forgotten", || server.get(&location).status == 404);
    let rest: Vec<_> = Path::new(&server.folder.path().join("root/uploads")).read_dir().unwrap().collect();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn manifests_without_a_tag_expire_only_where_that_is_wanted() {
    let keeping = |untagged| Keeping {
        grace: Duration::from_millis(300),
        cycle: Duration::from_millis(50),
        untagged,
        ..Keeping::default()
    };
    let kept = Served::start_with(|config, _| config.keeping = keeping(None));
    let expired = Served::start_with(|config, _| config.keeping = keeping(Some(Duration::from_millis(300))));
    let mut old = String::new();
    for server in [&kept, &expired] {
        old = server.push_image("a", "latest", &["old"]);
        server.push_image("a", "latest", &["new"]);
    }
    eventually("the old one goes", || !stored(&expired, &digest(b"old")));
    assert!(stored(&expired, &digest(b"new")));
    assert!(has(&kept, "a", "manifests", &old) && stored(&kept, &digest(b"old")));
}
