//! Encrypted registries from login to run: authorities of one's own, clients with certificates, tokens of another server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use wharf_testkit::certificates::Authority;
use wharf_testkit::{Options, Output, TempEngine, TempRegistry, foreign};

/// As 'htpasswd -nbB -C 4 anna secret' writes it.
const USERS: &str = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    std::fs::write(folder.path().join("users"), USERS).unwrap();
    folder
}

#[test]
fn an_image_goes_through_an_encrypted_registry_that_wants_to_know_its_clients() {
    let (authority, of_clients) = (Authority::new("one"), Authority::new("clients"));
    let folder = folder();
    authority.sign(&["127.0.0.1"]).write(folder.path(), "server");
    std::fs::write(folder.path().join("clients.pem"), of_clients.certificate()).unwrap();
    let certificates = ["--tls-cert", "{}/server.pem", "--tls-key", "{}/server.key.pem"];
    let clients = ["--tls-client-ca", "{}/clients.pem", "--htpasswd", "{}/users"];
    let registry = TempRegistry::start_in(folder, &[certificates, clients].concat());
    let place = registry.folder().join("certs.d").join(registry.address());
    std::fs::create_dir_all(&place).unwrap();
    let arguments = vec!["--hosts-dir".to_owned(), registry.folder().join("certs.d").display().to_string()];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let login = |password: &str| {
        engine.cli_stdin(&["login", "-u", "anna", "--password-stdin", registry.address()], password.as_bytes())
    };
    let fails = |sentence: &str, hint: &str| {
        let failed = login("secret").exits(1).stderr;
        assert!(failed.contains(sentence) && failed.contains(hint), "{failed}");
    };
    // One thing after the other is put right, and no restart is needed between.
    let write = |name: &str, text: &str| std::fs::write(place.join(name), text).unwrap();
    write("ca.crt", Authority::new("other").certificate());
    fails("is not trusted", "ca.crt");
    write("ca.crt", authority.certificate());
    fails("wants another certificate of this client", "client.cert");
    let own = of_clients.sign(&[]);
    write("client.cert", &own.certificate);
    fails("missing key", "");
    write("client.key", &own.key);
    login("wrong").exits(1);
    assert!(login("secret").ok().stdout.contains("Login Succeeded"));

    let name = registry.reference("team/box:1");
    engine.cli(&["tag", "busybox:test", &name]).ok();
    engine.cli(&["push", &name]).ok();
    engine.cli(&["rmi", &name, "busybox:test"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", &name, "echo", "here"]).ok().stdout, "here\n");
    engine.cli(&["logout", registry.address()]).ok();
    engine.cli(&["rmi", &name]).ok();
    assert!(engine.cli(&["pull", &name]).exits(1).stderr.contains("denied"));

    // The same folder is what others read.
    if let Some(skopeo) = foreign::need("skopeo") {
        let mut command = std::process::Command::new(skopeo);
        let cert_dir = format!("--cert-dir={}", place.display());
        command.args(["inspect", &cert_dir, "--creds=anna:secret", &format!("docker://{name}")]);
        let shown = Output::of(command.env("HOME", registry.folder()), b"").ok().stdout;
        assert!(shown.contains("\"Architecture\": \"amd64\""), "{shown}");
    }
    engine.finish();
}

#[test]
fn a_registry_takes_the_tokens_of_another_server() {
    let rules = "anna pull,push team/**\nanonymous pull public/**\n";
    let tokens = folder();
    std::fs::write(tokens.path().join("rules"), rules).unwrap();
    let tokens = TempRegistry::start_in(tokens, &["--htpasswd", "{}/users", "--rules", "{}/rules"]);
    // Its public key is the end of its private one (RFC 8410, 7, with RFC 5958's public key).
    let private = std::fs::read(tokens.root().join("secrets/token-key")).unwrap();
    let public = URL_SAFE_NO_PAD.encode(&private[private.len() - 32..]);
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": public }] });
    let folder = folder();
    std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
    let realm = format!("http://{}/token", tokens.address());
    let names = ["--token-issuer", "wharf-registry", "--token-service", "wharf-registry"];
    let places = ["--token-realm", &realm, "--token-keys", "{}/keys.json"];
    let registry = TempRegistry::start_in(folder, &[places, names].concat());

    let engine = TempEngine::start();
    let login = |password: &str| {
        engine.cli_stdin(&["login", "-u", "anna", "--password-stdin", registry.address()], password.as_bytes())
    };
    login("wrong").exits(1);
    assert!(login("secret").ok().stdout.contains("Login Succeeded"));
    let [allowed, denied] = ["team/box:1", "other/box:1"].map(|name| registry.reference(name));
    for name in [&allowed, &denied] {
        engine.cli(&["tag", "busybox:test", name]).ok();
    }
    engine.cli(&["push", &allowed]).ok();
    let refused = engine.cli(&["push", &denied]).exits(1).stderr;
    assert!(refused.contains("denied") || refused.contains("refuses access"), "{refused}");
    engine.cli(&["rmi", &allowed, &denied, "busybox:test"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", &allowed, "echo", "here"]).ok().stdout, "here\n");
    engine.finish();
}
