//! Lists, health, numbers, and the page's files.

use serde_json::json;
use wharf_registry::server::AccessLogTo;

use crate::fixture::Served;

/// Follows `Link` until there is none.
fn walk(server: &Served, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = first.to_owned();
    loop {
        let reply = server.expect("GET", &path, &[], b"", 200);
        let document = reply.json();
        let items = document[field].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned());
        pages.push(items.collect());
        let link = reply.header("link");
        let Some(next) = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) else {
            assert_eq!(link, "");
            return pages;
        };
        path = next.to_owned();
    }
}

#[test]
fn tags_come_in_order_and_in_pages() {
    let server = Served::start();
    for tag in ["v2", "V1", "a.b", "_x", "v10", "v1"] {
        server.push_image("a/b", tag, &["1"]);
    }
    let all = vec!["V1", "_x", "a.b", "v1", "v10", "v2"];
    assert_eq!(server.get("/v2/a/b/tags/list").json(), json!({ "name": "a/b", "tags": all }));
    let pages = walk(&server, "/v2/a/b/tags/list?n=4", "tags");
    assert_eq!(pages, vec![all[..4].to_vec(), all[4..].to_vec()]);
    let after = walk(&server, "/v2/a/b/tags/list?last=v1&n=6", "tags");
    assert_eq!(after, vec![all[4..].to_vec()]);
    assert_eq!(walk(&server, "/v2/a/b/tags/list?n=0", "tags"), vec![Vec::<String>::new()]);
    server.refused("GET", "/v2/a/b/tags/list?n=x", &[], b"", 400, "PAGINATION_NUMBER_INVALID");
    server.refused("GET", "/v2/nowhere/tags/list", &[], b"", 404, "NAME_UNKNOWN");
}

#[test]
fn repositories_are_listed_in_pages() {
    let server = Served::start();
    for name in ["b", "a/c", "a", "a-b", "a.b/c"] {
        server.push_image(name, "v1", &["1"]);
    }
    let all = ["a", "a-b", "a.b/c", "a/c", "b"];
    assert_eq!(walk(&server, "/v2/_catalog", "repositories"), vec![all.to_vec()]);
    assert_eq!(
        walk(&server, "/v2/_catalog?n=2", "repositories"),
        vec![all[..2].to_vec(), all[2..4].to_vec(), all[4..].to_vec()]
    );
}

#[test]
fn health_and_numbers_are_there() {
    let server = Served::start();
    assert_eq!(server.expect("GET", "/health", &[], b"", 200).json()["status"], "ok");
    server.push_blob("a", b"12345");
    let text = server.expect("GET", "/metrics", &[], b"", 200).text();
    assert!(text.contains("wharf_registry_received_bytes_total 5\n"), "{text}");
    assert!(text.contains("{method=\"POST\",route=\"upload\",status=\"201\"} 1\n"), "{text}");
}

#[test]
fn every_request_is_a_line_in_the_log() {
    let server = Served::start_with(|config, folder| config.access_log = AccessLogTo::File(folder.join("access.log")));
    let digest = server.push_blob("a/b", b"12345");
    let path = format!("/v2/a/b/blobs/{digest}");
    server.expect("GET", &path, &[("User-Agent", "a \"test\"")], b"", 200);
    server.expect("GET", "/v2/a/b/manifests/none?x=1", &[], b"", 404);
    let mut lines = Vec::new();
    crate::fixture::eventually("three lines are written", || {
        let text = std::fs::read_to_string(server.folder.path().join("access.log")).unwrap();
        lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
        lines.len() == 3
    });
    let get = lines.iter().find(|line| line["path"] == path.as_str()).unwrap();
    assert_eq!((&get["method"], &get["status"], &get["bytes"]), (&json!("GET"), &json!(200), &json!(5)));
    assert_eq!((&get["complete"], &get["user"]), (&json!(true), &json!(null)));
    assert!(get["agent"] == "a \"test\"" && get["seconds"].as_f64().unwrap() >= 0.0);
    assert!(get["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(lines.iter().any(|line| line["status"] == 404));
}

#[test]
fn a_registry_that_cannot_write_is_not_well() {
    let server = Served::start();
    server.expect("GET", "/health", &[], b"", 200);
    std::fs::remove_dir_all(server.folder.path().join("root")).unwrap();
    server.expect("GET", "/health", &[], b"", 503);
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let server = Served::start();
    for path in ["/", "/page.css", "/page.js"] {
        let reply = server.expect("GET", path, &[], b"", 200);
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!reply.text().contains("://") || path == "/page.js", "{path}");
    }
}
