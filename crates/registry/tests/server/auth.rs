//! Users, rights and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use wharf_registry::server::{Config, ForeignTokens, Scheme};
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

/// A server that trusts tokens of somebody else, whose public keys are in this file.
fn trusting(keys: &str) -> Served {
    Served::start_with(|config: &mut Config, folder| {
        let path = folder.join("keys");
        std::fs::write(&path, keys).unwrap();
        config.foreign = Some(ForeignTokens {
            realm: "https://tokens.test/auth".to_owned(),
            issuer: "tokens.test".to_owned(),
            service: "registry.test".to_owned(),
            keys: path,
        });
    })
}

/// A token server's key, its public half as PEM, and as the two coordinates that JSON has.
struct Signer {
    key: EcdsaKeyPair,
    public: String,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let rules = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(rules, pair.serialized_der(), &SystemRandom::new()).unwrap();
        Self { key, public: pair.public_key_pem() }
    }

    fn key_set(&self) -> String {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [
            { "kty": "oct", "k": "c2VjcmV0" },
            { "kty": "EC", "crv": "P-256", "kid": "one", "x": text(x), "y": text(y) },
        ]})
        .to_string()
    }

    /// A token that is good for an hour, unless the changes say otherwise.
    fn token(&self, changes: &serde_json::Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": "tokens.test", "aud": "registry.test", "sub": "robot", "iat": now, "exp": now + 3600,
            "access": [{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }],
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "one" });
        let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[test]
fn tokens_of_another_service_allow_what_they_say() {
    let signer = Signer::new();
    let blob = digest(b"x");
    let push = |name: &str| format!("/v2/{name}/blobs/uploads/?digest={blob}");
    for keys in [signer.public.clone(), signer.key_set()] {
        let server = trusting(&keys);
        let reply = server.expect("POST", &push("team/app"), &[], b"x", 401);
        let challenge = reply.header("www-authenticate");
        let wanted = "Bearer realm=\"https://tokens.test/auth\",service=\"registry.test\",scope=\"repository:team/app:pull,push\"";
        assert_eq!(challenge, wanted);
        let token = signer.token(&json!({}));
        let own = [("Authorization", token.as_str())];
        server.expect("GET", "/v2/", &own, b"", 200);
        server.expect("POST", &push("team/app"), &own, b"x", 201);
        server.expect("GET", &format!("/v2/team/app/blobs/{blob}"), &own, b"", 200);
        // No more than that: no other repository, no deletion, no list of everything.
        let reply = server.expect("POST", &push("team/other"), &own, b"x", 401);
        assert!(reply.header("www-authenticate").contains("insufficient_scope"));
        server.expect("DELETE", &format!("/v2/team/app/blobs/{blob}"), &own, b"", 401);
        server.expect("GET", "/v2/_catalog", &own, b"", 401);
        let all = signer.token(&json!({ "access": [{ "type": "registry", "name": "catalog", "actions": ["*"] }] }));
        server.expect("GET", "/v2/_catalog", &[("Authorization", &all)], b"", 200);
        // It gives none of its own, and takes no passwords.
        server.expect("GET", "/token?service=registry.test", &[], b"", 404);
        server.expect("GET", "/v2/", &[("Authorization", &basic("anna"))], b"", 401);
    }
}

#[test]
fn a_token_of_another_service_is_refused_where_anything_is_wrong_with_it() {
    let signer = Signer::new();
    let server = trusting(&signer.public);
    for (token, reason) in [
        (signer.token(&json!({ "iss": "tokens.evil" })), "somebody else has issued it"),
        (signer.token(&json!({ "aud": ["a", "b"] })), "it is for another service"),
        (signer.token(&json!({ "exp": 1_000_000 })), "it has expired"),
        (signer.token(&json!({ "nbf": 99_999_999_999_u64 })), "it is not valid yet"),
        (Signer::new().token(&json!({})), "none of the known keys has signed it"),
    ] {
        let reply = server.expect("GET", "/v2/", &[("Authorization", &token)], b"", 401);
        assert!(reply.text().contains(reason), "{reason}: {}", reply.text());
        assert!(reply.header("www-authenticate").contains("invalid_token"));
    }
    let audiences = signer.token(&json!({ "aud": ["elsewhere", "registry.test"] }));
    server.expect("GET", "/v2/", &[("Authorization", &audiences)], b"", 200);
}

#[test]
fn a_foreign_issuers_certificate_counts_as_its_key_and_a_new_one_is_read() {
    let (first, second) = (Signer::new(), Signer::new());
    let server = trusting(&first.public);
    let visit =
        |signer: &Signer| server.send("GET", "/v2/", &[("Authorization", &signer.token(&json!({})))], b"").status;
    assert_eq!((visit(&first), visit(&second)), (200, 401));
    std::fs::write(server.folder.path().join("keys"), format!("{}{}", first.public, second.public)).unwrap();
    crate::fixture::eventually("the second key counts", || visit(&second) == 200);
    assert_eq!(visit(&first), 200);
    let signed = wharf_testkit::certificates::Authority::new("tokens").sign(&[]);
    let pair = rcgen::KeyPair::from_pem(&signed.key).unwrap();
    let rules = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::from_pkcs8(rules, pair.serialized_der(), &SystemRandom::new()).unwrap();
    let third = Signer { key, public: signed.certificate };
    let server = trusting(&third.public);
    server.expect("GET", "/v2/", &[("Authorization", &third.token(&json!({})))], b"", 200);
}
