//! Several registries over one bucket of somebody else's object store.

use serde_json::json;
use wharf_testkit::bucket::TempBucket;
use wharf_testkit::registry::noise;
use wharf_testkit::served::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn what_one_server_takes_the_other_gives_and_goes_on_with() {
    let Some(bucket) = TempBucket::start() else { return };
    let (mut one, two) = (bucket.serve(&[]), bucket.serve(&[]));
    // Larger than one part of the store's protocol, and a part of it from each server, with a crash between.
    let content = noise(9 << 20, 1);
    let (first, rest) = content.split_at((8 << 20) + 12_345);
    let (second, third) = rest.split_at(1000);
    let upload = one.request("POST", "/v2/team/app/blobs/uploads/", &[], b"").unwrap().header("location").to_owned();
    assert_eq!(one.request("PATCH", &upload, &[], first).unwrap().status, 202);
    one.kill9();
    let status = two.request("GET", &upload, &[], b"").unwrap();
    assert_eq!(status.header("range"), format!("0-{}", first.len() - 1));
    let range = format!("{}-{}", first.len(), first.len() + second.len() - 1);
    assert_eq!(two.request("PATCH", &upload, &[("Content-Range", &range)], second).unwrap().status, 202);
    one.restart();
    let layer = digest(&content);
    let finish = format!("{upload}?digest={layer}");
    assert_eq!(one.request("PUT", &finish, &[], third).unwrap().status, 201);
    assert_eq!(two.request("GET", &upload, &[], b"").unwrap().status, 404, "it is finished everywhere");
    assert!(bucket.blob(&layer).unwrap() == content);

    let config = one.push_blob("team/app", b"{}");
    let image = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": content.len() }],
    });
    let image = two.push_manifest("team/app", "v1", MANIFEST, image.to_string().as_bytes());
    for server in [&one, &two] {
        let shown = server.request("GET", "/v2/team/app/manifests/v1", &[], b"").unwrap();
        assert_eq!(shown.header("docker-content-digest"), image);
        let blob = format!("/v2/team/app/blobs/{layer}");
        assert!(server.request("GET", &blob, &[], b"").unwrap().body == content);
        let part = server.request("GET", &blob, &[("Range", "bytes=8388600-8388699")], b"").unwrap();
        assert_eq!((part.status, &part.body[..]), (206, &content[8_388_600..8_388_700]));
        assert_eq!(server.request("GET", "/health", &[], b"").unwrap().status, 200);
    }
    let mount = format!("/v2/other/blobs/uploads/?mount={layer}&from=team/app");
    assert_eq!(two.request("POST", &mount, &[], b"").unwrap().status, 201);
    assert_eq!(two.request("DELETE", "/v2/team/app/manifests/v1", &[], b"").unwrap().status, 202);
    assert_eq!(one.request("GET", "/v2/team/app/manifests/v1", &[], b"").unwrap().status, 404);
    let tags = one.request("GET", "/v2/team/app/tags/list", &[], b"").unwrap().json();
    assert_eq!(tags["tags"], json!([]));
}

#[test]
fn a_store_that_cannot_be_used_is_told_at_the_start() {
    let Some(bucket) = TempBucket::start() else { return };
    let mut command = std::process::Command::new(wharf_testkit::engine::program());
    command.env_clear().args(["registry", "serve", "--listen", "127.0.0.1:0", "--root", "s3://nowhere"]);
    command.args(["--s3-endpoint", &bucket.endpoint()]);
    command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
    let output = wharf_testkit::Output::of(&mut command, b"").exits(1);
    assert!(output.stderr.contains("the bucket cannot be written to"), "{}", output.stderr);
    assert!(output.stderr.contains("check the bucket's name"), "{}", output.stderr);
}
