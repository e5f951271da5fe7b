//! Users, rights and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wharf_registry::server::{Config, Scheme};
use wharf_testkit::served::digest;

use crate::fixture::Served;

const RULES: &str =
    "anna pull,push,delete team/**\nbert pull team/**\nanonymous pull public/**\nanna push,pull public/**\n";

fn server(scheme: Scheme) -> Served {
    Served::start_with(|config: &mut Config, folder| {
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(format!("{user}-secret"), 4).unwrap());
        let (users, rules) = (folder.join("htpasswd"), folder.join("rules"));
        std::fs::write(&users, line("anna") + &line("bert")).unwrap();
        std::fs::write(&rules, RULES).unwrap();
        (config.htpasswd, config.rules, config.scheme) = (Some(users), Some(rules), scheme);
    })
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}-secret")))
}

fn token(server: &Served, user: Option<&str>, scope: &str) -> String {
    let header = user.map(basic).unwrap_or_default();
    let headers = [("Authorization", header.as_str())];
    let path = format!("/token?service=wharf-registry&scope={scope}");
    let reply = server.expect("GET", &path, if user.is_some() { &headers } else { &[] }, b"", 200);
    format!("Bearer {}", reply.json()["token"].as_str().unwrap())
}

#[test]
fn rights_are_per_repository() {
    let server = server(Scheme::Basic);
    let reply = server.expect("GET", "/v2/", &[], b"", 401);
    assert!(reply.header("www-authenticate").starts_with("Basic "));
    let (anna, bert) = (basic("anna"), basic("bert"));
    let (anna, bert) = ([("Authorization", anna.as_str())], [("Authorization", bert.as_str())]);
    server.expect("GET", "/v2/", &anna, b"", 200);
    let wrong = format!("Basic {}", STANDARD.encode("anna:wrong"));
    server.refused("GET", "/v2/", &[("Authorization", &wrong)], b"", 401, "UNAUTHORIZED");
    let blob = digest(b"x");
    let push = |name: &str| format!("/v2/{name}/blobs/uploads/?digest={blob}");
    server.expect("POST", &push("team/app"), &anna, b"x", 201);
    server.refused("POST", &push("team/app"), &bert, b"x", 403, "DENIED");
    server.refused("POST", &push("team/app"), &[], b"x", 401, "UNAUTHORIZED");
    server.refused("POST", &push("other"), &anna, b"x", 403, "DENIED");
    let path = format!("/v2/team/app/blobs/{blob}");
    server.expect("GET", &path, &bert, b"", 200);
    server.expect("GET", &path, &[], b"", 401);
    server.expect("DELETE", &path, &bert, b"", 403);
    server.expect("POST", &push("public/app"), &anna, b"x", 201);
    server.expect("GET", &format!("/v2/public/app/blobs/{blob}"), &[], b"", 200);
    // What one may not pull one may not mount either.
    server.expect("POST", &format!("/v2/public/app/blobs/uploads/?mount={blob}&from=team/app"), &anna, b"", 201);
    server.expect("DELETE", &path, &anna, b"", 202);
}

#[test]
fn lists_show_what_one_may_pull() {
    let server = server(Scheme::Basic);
    let (anna, bert) = (basic("anna"), basic("bert"));
    for name in ["team/app", "public/app"] {
        let blob = digest(b"{}");
        let headers = [("Authorization", anna.as_str())];
        server.expect("POST", &format!("/v2/{name}/blobs/uploads/?digest={blob}"), &headers, b"{}", 201);
        let manifest =
            json!({ "schemaVersion": 2, "config": { "digest": blob, "size": 2, "mediaType": "c" }, "layers": [] });
        server.expect("PUT", &format!("/v2/{name}/manifests/v1"), &headers, manifest.to_string().as_bytes(), 201);
    }
    let names =
        |headers: &[(&str, &str)]| server.send("GET", "/v2/_catalog", headers, b"").json()["repositories"].clone();
    assert_eq!(names(&[("Authorization", &bert)]), json!(["public/app", "team/app"]));
    assert_eq!(names(&[]), json!(["public/app"]));
    server.expect("GET", "/metrics", &[], b"", 401);
    server.expect("GET", "/metrics", &[("Authorization", &bert)], b"", 200);
    server.expect("GET", "/health", &[], b"", 200);
}

#[test]
fn tokens_are_given_for_passwords_and_allow_what_the_rules_allow() {
    let server = server(Scheme::Token);
    let blob = digest(b"x");
    let path = format!("/v2/team/app/blobs/uploads/?digest={blob}");
    let reply = server.expect("POST", &path, &[], b"x", 401);
    let challenge = reply.header("www-authenticate").to_owned();
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"wharf-registry\"", server.address);
    assert!(challenge.starts_with(&realm), "{challenge}");
    assert!(challenge.contains("scope=\"repository:team/app:pull,push\""), "{challenge}");
    let scope = "repository:team/app:pull,push";
    let (anna, bert) = (token(&server, Some("anna"), scope), token(&server, Some("bert"), scope));
    server.expect("POST", &path, &[("Authorization", &anna)], b"x", 201);
    let reply = server.expect("POST", &path, &[("Authorization", &bert)], b"x", 401);
    assert!(reply.header("www-authenticate").contains("insufficient_scope"));
    server.expect("GET", &format!("/v2/team/app/blobs/{blob}"), &[("Authorization", &bert)], b"", 200);
    // Good for what was asked for and nothing else.
    let other = format!("/v2/team/other/blobs/uploads/?digest={blob}");
    server.expect("POST", &other, &[("Authorization", &anna)], b"x", 401);
    let nobody = token(&server, None, "repository:public/app:pull,push");
    server.expect("GET", "/v2/public/app/tags/list", &[("Authorization", &nobody)], b"", 404);
    let push = format!("/v2/public/app/blobs/uploads/?digest={blob}");
    server.expect("POST", &push, &[("Authorization", &nobody)], b"x", 401);
    let wrong = format!("Basic {}", STANDARD.encode("anna:wrong"));
    server.refused("GET", "/token?scope=x", &[("Authorization", &wrong)], b"", 401, "UNAUTHORIZED");
    server.expect("POST", &path, &[("Authorization", &basic("anna"))], b"x", 201);
    server.refused("GET", "/v2/", &[("Authorization", "Bearer x.y.z")], b"", 401, "UNAUTHORIZED");
}

#[test]
fn the_form_of_oauth_is_understood() {
    let server = server(Scheme::Token);
    let form = "grant_type=password&username=anna&password=anna-secret&service=s&scope=repository:team/a:pull";
    let reply = server.expect("POST", "/token", &[], form.as_bytes(), 200);
    assert!(reply.json()["access_token"].is_string() && reply.json()["expires_in"].is_number());
    server.expect("POST", "/token", &[], form.replace("secret", "wrong").as_bytes(), 401);
    server.expect("POST", "/token", &[], b"grant_type=refresh_token&refresh_token=x", 400);
}
