//! Blobs: every way in, out and away (distribution-spec 1.1, "Pull" and "Push").

use std::io::{Read, Write};
use std::net::TcpStream;

use wharf_testkit::served::digest;

use crate::fixture::Served;

fn begin(server: &Served, name: &str) -> String {
    let reply = server.expect("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"", 202);
    assert_eq!(reply.header("range"), "0-0");
    assert!(!reply.header("docker-upload-uuid").is_empty());
    reply.header("location").to_owned()
}

#[test]
fn the_base_says_what_this_is() {
    let server = Served::start();
    for path in ["/v2/", "/v2"] {
        let reply = server.expect("GET", path, &[], b"", 200);
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
    }
    server.refused("GET", "/v2/x", &[], b"", 404, "UNSUPPORTED");
    server.refused("POST", "/v2/", &[], b"", 405, "UNSUPPORTED");
}

#[test]
fn a_blob_in_one_request_and_out_again() {
    let server = Served::start();
    let digest = server.push_blob("a/b", b"0123456789");
    let path = format!("/v2/a/b/blobs/{digest}");
    let reply = server.expect("GET", &path, &[], b"", 200);
    assert_eq!(reply.body, b"0123456789");
    assert_eq!(reply.header("docker-content-digest"), digest);
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    let head = server.expect("HEAD", &path, &[], b"", 200);
    assert_eq!((head.header("content-length"), head.body.len()), ("10", 0));
    for (range, status, body, shown) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-100", 206, "56789", "bytes 5-9/10"),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
    ] {
        let reply = server.expect("GET", &path, &[("Range", range)], b"", status);
        assert_eq!((reply.text().as_str(), reply.header("content-range")), (body, shown), "{range}");
    }
    let reply = server.expect("GET", &path, &[("Range", "bytes=10-")], b"", 416);
    assert_eq!(reply.header("content-range"), "bytes */10");
    let tag = format!("\"{digest}\"");
    server.expect("GET", &path, &[("If-None-Match", &tag)], b"", 304);
    let reply = server.expect("GET", &path, &[("If-Range", "\"other\""), ("Range", "bytes=1-1")], b"", 200);
    assert_eq!(reply.body.len(), 10);
    server.expect("GET", &path, &[("If-Range", &tag), ("Range", "bytes=1-1")], b"", 206);
}

#[test]
fn what_is_not_there_is_unknown_and_other_repositories_do_not_have_it() {
    let server = Served::start();
    let there = server.push_blob("a", b"x");
    let nowhere = digest(b"nowhere");
    server.refused("GET", &format!("/v2/a/blobs/{nowhere}"), &[], b"", 404, "BLOB_UNKNOWN");
    server.refused("GET", &format!("/v2/b/blobs/{there}"), &[], b"", 404, "BLOB_UNKNOWN");
    server.expect("HEAD", &format!("/v2/b/blobs/{there}"), &[], b"", 404);
    server.refused("GET", "/v2/a/blobs/sha256:12", &[], b"", 400, "DIGEST_INVALID");
    server.refused("GET", &format!("/v2/A/blobs/{there}"), &[], b"", 400, "NAME_INVALID");
}

#[test]
fn two_requests_with_and_without_content_in_the_last() {
    let server = Served::start();
    let location = begin(&server, "a");
    let whole = digest(b"hello");
    server.expect("PUT", &format!("{location}?digest={whole}"), &[], b"hello", 201);
    let location = begin(&server, "a");
    let reply = server.expect("PATCH", &location, &[], b"wor", 202);
    assert_eq!(reply.header("range"), "0-2");
    let whole = digest(b"world");
    let reply = server.expect("PUT", &format!("{location}?digest={whole}"), &[], b"ld", 201);
    assert_eq!(reply.header("location"), format!("/v2/a/blobs/{whole}"));
    assert_eq!(server.get(reply.header("location")).text(), "world");
    server.refused("GET", &location, &[], b"", 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn the_empty_blob_is_a_blob() {
    let server = Served::start();
    let location = begin(&server, "a");
    let empty = digest(b"");
    server.expect("PUT", &format!("{location}?digest={empty}"), &[], b"", 201);
    let reply = server.expect("GET", &format!("/v2/a/blobs/{empty}"), &[], b"", 200);
    assert_eq!(reply.header("content-length"), "0");
}

#[test]
fn chunks_must_follow_each_other() {
    let server = Served::start();
    let location = begin(&server, "a");
    let chunk = |range: &'static str, body: &'static [u8]| {
        server.send("PATCH", &location, &[("Content-Range", range), ("Content-Type", "application/octet-stream")], body)
    };
    assert_eq!(chunk("0-3", b"0123").status, 202);
    for wrong in ["5-7", "0-3", "x", "4"] {
        let reply = chunk(wrong, b"456");
        assert_eq!(reply.status, 416, "{wrong}");
        assert_eq!((reply.header("range"), reply.header("location")), ("0-3", location.as_str()));
    }
    assert_eq!(chunk("4-9", b"456").status, 400);
    let reply = server.expect("GET", &location, &[], b"", 204);
    assert_eq!(reply.header("range"), "0-3");
    assert_eq!(chunk("4-6", b"456").status, 202);
    let whole = digest(b"0123456");
    server.expect("PUT", &format!("{location}?digest={whole}"), &[], b"", 201);
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_stopped() {
    let server = Served::start();
    let location = begin(&server, "a");
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[..2_000_000]).unwrap();
    drop(stream);
    let mut offset = 0;
    crate::fixture::eventually("what came before the cut is kept", || {
        let range = server.get(&location).header("range").to_owned();
        offset = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1;
        offset > 1
    });
    assert!(offset <= 2_000_000);
    let range = format!("{offset}-{}", content.len() - 1);
    server.expect("PATCH", &location, &[("Content-Range", &range)], &content[offset..], 202);
    let whole = digest(&content);
    server.expect("PUT", &format!("{location}?digest={whole}"), &[], b"", 201);
    assert!(server.get(&format!("/v2/a/blobs/{whole}")).body == content);
}

#[test]
fn chunked_transfer_of_unknown_length() {
    let server = Served::start();
    let location = begin(&server, "a");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "PATCH {location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    stream.write_all(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    server.expect("PUT", &format!("{location}?digest={}", digest(b"abcde")), &[], b"", 201);
}

#[test]
fn a_wrong_digest_is_found_and_nothing_is_stored() {
    let server = Served::start();
    let wrong = digest(b"something else");
    let location = begin(&server, "a");
    server.refused("PUT", &format!("{location}?digest={wrong}"), &[], b"hello", 400, "DIGEST_INVALID");
    server.refused("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"hello", 400, "DIGEST_INVALID");
    server.refused("PUT", &begin(&server, "a"), &[], b"hello", 400, "DIGEST_INVALID");
    server.refused("GET", &format!("/v2/a/blobs/{wrong}"), &[], b"", 404, "BLOB_UNKNOWN");
    server.refused("PUT", &format!("{location}?digest={wrong}"), &[], b"", 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn uploads_belong_to_their_repository_and_can_be_cancelled() {
    let server = Served::start();
    let location = begin(&server, "a");
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    server.refused("PATCH", &elsewhere, &[], b"x", 404, "BLOB_UPLOAD_UNKNOWN");
    server.refused("PATCH", "/v2/a/blobs/uploads/..%2f..%2fsecret", &[], b"x", 404, "UNSUPPORTED");
    server.refused("PATCH", "/v2/a/blobs/uploads/1234", &[], b"x", 404, "BLOB_UPLOAD_UNKNOWN");
    server.expect("DELETE", &location, &[], b"", 204);
    server.refused("GET", &location, &[], b"", 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn blobs_are_mounted_from_where_they_are() {
    let server = Served::start();
    let blob = server.push_blob("a", b"shared");
    let reply = server.expect("POST", &format!("/v2/b/blobs/uploads/?mount={blob}&from=a"), &[], b"", 201);
    assert_eq!(reply.header("location"), format!("/v2/b/blobs/{blob}"));
    assert_eq!(server.get(&format!("/v2/b/blobs/{blob}")).text(), "shared");
    for path in [
        format!("/v2/c/blobs/uploads/?mount={blob}&from=nowhere"),
        format!("/v2/c/blobs/uploads/?mount={blob}"),
        format!("/v2/c/blobs/uploads/?mount={}&from=a", digest(b"unknown")),
    ] {
        let reply = server.expect("POST", &path, &[], b"", 202);
        assert!(reply.header("location").starts_with("/v2/c/blobs/uploads/"), "{path}");
    }
}

#[test]
fn blobs_are_deleted_unless_a_manifest_needs_them() {
    let server = Served::start();
    let loose = server.push_blob("a", b"loose");
    server.expect("DELETE", &format!("/v2/a/blobs/{loose}"), &[], b"", 202);
    server.refused("GET", &format!("/v2/a/blobs/{loose}"), &[], b"", 404, "BLOB_UNKNOWN");
    server.refused("DELETE", &format!("/v2/a/blobs/{loose}"), &[], b"", 404, "BLOB_UNKNOWN");
    let image = server.push_image("a", "v1", &["layer"]);
    let layer = digest(b"layer");
    server.refused("DELETE", &format!("/v2/a/blobs/{layer}"), &[], b"", 405, "DENIED");
    server.expect("DELETE", &format!("/v2/a/manifests/{image}"), &[], b"", 202);
    server.expect("DELETE", &format!("/v2/a/blobs/{layer}"), &[], b"", 202);
}
