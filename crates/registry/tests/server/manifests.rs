//! Manifests, indexes and referrers (distribution-spec 1.1).

use serde_json::{Value, json};
use wharf_testkit::served::digest;

use crate::fixture::{INDEX, MANIFEST, Served, descriptor};

#[test]
fn a_manifest_is_served_byte_for_byte_by_tag_and_digest() {
    let server = Served::start();
    let blob = server.push_blob("a", b"{}");
    let text = format!(
        "{{ \"schemaVersion\": 2,\n \"config\": {{\"mediaType\":\"c\",\"digest\":\"{blob}\",\"size\":2}}, \"layers\":[] }}"
    );
    let of_manifest = digest(text.as_bytes());
    let reply = server.expect("PUT", "/v2/a/manifests/v1", &[("Content-Type", MANIFEST)], text.as_bytes(), 201);
    assert_eq!(reply.header("docker-content-digest"), of_manifest);
    assert_eq!(reply.header("location"), format!("/v2/a/manifests/{of_manifest}"));
    for reference in ["v1", &of_manifest] {
        let path = format!("/v2/a/manifests/{reference}");
        let reply = server.expect("GET", &path, &[], b"", 200);
        assert_eq!((reply.text().as_str(), reply.header("content-type")), (text.as_str(), MANIFEST));
        assert_eq!(reply.header("docker-content-digest"), of_manifest);
        let head = server.expect("HEAD", &path, &[], b"", 200);
        assert_eq!(head.header("content-length"), text.len().to_string());
        server.expect("GET", &path, &[("If-None-Match", &format!("\"{of_manifest}\""))], b"", 304);
    }
}

#[test]
fn manifests_that_are_wrong_are_refused() {
    let server = Served::start();
    let put = |reference: &str, body: &str, status, code| {
        let path = format!("/v2/a/manifests/{reference}");
        server.refused("PUT", &path, &[("Content-Type", MANIFEST)], body.as_bytes(), status, code);
    };
    put("v1", "no json", 400, "MANIFEST_INVALID");
    put("v1", "{\"schemaVersion\":1}", 400, "MANIFEST_INVALID");
    let missing = digest(b"missing");
    let lacking = json!({ "schemaVersion": 2, "config": descriptor("c", &missing), "layers": [] }).to_string();
    put("v1", &lacking, 404, "MANIFEST_BLOB_UNKNOWN");
    put("-x", &lacking, 400, "MANIFEST_INVALID");
    let blob = server.push_blob("a", b"{}");
    let good = json!({ "schemaVersion": 2, "config": descriptor("c", &blob), "layers": [] }).to_string();
    put(&digest(b"other"), &good, 400, "DIGEST_INVALID");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, &missing)] });
    let path = "/v2/a/manifests/v1";
    server.refused("PUT", path, &[("Content-Type", INDEX)], index.to_string().as_bytes(), 404, "MANIFEST_BLOB_UNKNOWN");
    let large = vec![b' '; (4 << 20) + 1];
    server.refused("PUT", path, &[("Content-Type", MANIFEST)], &large, 413, "SIZE_INVALID");
    server.refused("GET", path, &[], b"", 404, "MANIFEST_UNKNOWN");
    server.refused("GET", "/v2/a/tags/list", &[], b"", 404, "NAME_UNKNOWN");
}

#[test]
fn tags_move_and_go_and_manifests_stay() {
    let server = Served::start();
    let first = server.push_image("a", "latest", &["1"]);
    let second = server.push_image("a", "latest", &["2"]);
    assert_eq!(server.get("/v2/a/manifests/latest").header("docker-content-digest"), second);
    server.expect("GET", &format!("/v2/a/manifests/{first}"), &[], b"", 200);
    server.expect("DELETE", "/v2/a/manifests/latest", &[], b"", 202);
    server.refused("GET", "/v2/a/manifests/latest", &[], b"", 404, "MANIFEST_UNKNOWN");
    server.refused("DELETE", "/v2/a/manifests/latest", &[], b"", 404, "MANIFEST_UNKNOWN");
    server.expect("GET", &format!("/v2/a/manifests/{second}"), &[], b"", 200);
}

#[test]
fn deleting_a_manifest_takes_its_tags_and_only_those() {
    let server = Served::start();
    let gone = server.push_image("a", "one", &["1"]);
    server.push_image("a", "two", &["1"]);
    let stays = server.push_image("a", "three", &["3"]);
    server.expect("DELETE", &format!("/v2/a/manifests/{gone}"), &[], b"", 202);
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], json!(["three"]));
    server.refused("GET", &format!("/v2/a/manifests/{gone}"), &[], b"", 404, "MANIFEST_UNKNOWN");
    server.refused("DELETE", &format!("/v2/a/manifests/{gone}"), &[], b"", 404, "MANIFEST_UNKNOWN");
    server.expect("GET", &format!("/v2/a/manifests/{stays}"), &[], b"", 200);
}

#[test]
fn parts_of_an_index_cannot_be_taken_from_it() {
    let server = Served::start();
    let (one, two) = (server.push_image("a", "amd64", &["1"]), server.push_image("a", "arm64", &["2"]));
    let index = server.push_index("a", "latest", &[&one, &two]);
    server.refused("DELETE", &format!("/v2/a/manifests/{one}"), &[], b"", 405, "DENIED");
    server.expect("DELETE", "/v2/a/manifests/amd64", &[], b"", 202);
    server.expect("GET", &format!("/v2/a/manifests/{one}"), &[], b"", 200);
    server.expect("DELETE", &format!("/v2/a/manifests/{index}"), &[], b"", 202);
    server.expect("DELETE", &format!("/v2/a/manifests/{one}"), &[], b"", 202);
    server.expect("GET", "/v2/a/manifests/arm64", &[], b"", 200);
}

fn artifact(server: &Served, subject: &str, artifact_type: &str, note: &str) -> Value {
    let empty = server.push_blob("a", b"{}");
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", &empty), "layers": [],
        "subject": descriptor(MANIFEST, subject), "annotations": { "note": note },
    })
}

#[test]
fn referrers_are_listed_by_type_with_their_annotations() {
    let server = Served::start();
    let subject = server.push_image("a", "v1", &["1"]);
    let path = format!("/v2/a/referrers/{subject}");
    let none = server.expect("GET", &path, &[], b"", 200);
    assert_eq!((none.json()["manifests"].clone(), none.header("content-type")), (json!([]), INDEX));
    let document = artifact(&server, &subject, "application/sbom", "first");
    let text = document.to_string();
    let reply = server.expect(
        "PUT",
        &format!("/v2/a/manifests/{}", digest(text.as_bytes())),
        &[("Content-Type", MANIFEST)],
        text.as_bytes(),
        201,
    );
    assert_eq!(reply.header("oci-subject"), subject);
    let signature = server.push_manifest("a", "sig", &artifact(&server, &subject, "application/signature", "second"));
    let all = server.get(&path).json();
    assert_eq!(all["manifests"].as_array().unwrap().len(), 2, "{all}");
    let reply = server.expect("GET", &format!("{path}?artifactType=application%2Fsignature"), &[], b"", 200);
    assert_eq!(reply.header("oci-filters-applied"), "artifactType");
    let only = &reply.json()["manifests"];
    assert_eq!(only.as_array().unwrap().len(), 1);
    assert_eq!((&only[0]["digest"], &only[0]["annotations"]["note"]), (&json!(signature), &json!("second")));
    server.expect("DELETE", &format!("/v2/a/manifests/{signature}"), &[], b"", 202);
    assert_eq!(server.get(&path).json()["manifests"].as_array().unwrap().len(), 1);
    server.refused("GET", "/v2/a/referrers/latest", &[], b"", 400, "DIGEST_INVALID");
}

#[test]
fn a_referrer_may_come_before_its_subject_and_older_clients_write_a_tag() {
    let server = Served::start();
    let later = digest(b"comes later");
    let early = server.push_manifest("a", "early", &artifact(&server, &later, "t", "n"));
    let path = format!("/v2/a/referrers/{later}");
    assert_eq!(server.get(&path).json()["manifests"][0]["digest"], early);
    let other = server.push_image("a", "other", &["x"]);
    server.push_index("a", &later.replace(':', "-"), &[&other, &early]);
    assert_eq!(server.get(&path).json()["manifests"].as_array().unwrap().len(), 2, "both ways, each once");
}
