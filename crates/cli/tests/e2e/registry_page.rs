//! The registry's page, in a real browser.

use serde_json::{Value, json};
use wharf_testkit::TempRegistry;
use wharf_testkit::browser::Browser;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Pushes an image for a processor with one layer of so many bytes; gives its descriptor for an index.
fn push(registry: &TempRegistry, name: &str, tag: &str, architecture: &str, size: usize) -> Value {
    let layer = vec![b'x'; size];
    let config = json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = config.to_string();
    let (config_digest, layer_digest) = (registry.push_blob(name, config.as_bytes()), registry.push_blob(name, &layer));
    let text = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": size }],
    })
    .to_string();
    let digest = registry.push_manifest(name, tag, MANIFEST, text.as_bytes());
    let platform = json!({ "os": "linux", "architecture": architecture });
    json!({ "mediaType": MANIFEST, "digest": digest, "size": text.len(), "platform": platform })
}

#[test]
fn a_browser_shows_what_is_there_and_copies_the_command() {
    let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    let users = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    let Some(browser) = Browser::start() else { return };
    let mut registry = TempRegistry::start_in(folder, &[]);
    push(&registry, "solo", "v1", "amd64", 1500);
    let parts =
        [push(&registry, "team/app", "a", "amd64", 2_000_000), push(&registry, "team/app", "b", "arm64", 3_000)];
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": parts }).to_string();
    registry.push_manifest("team/app", "all", INDEX, index.as_bytes());

    let origin = format!("http://{}", registry.address());
    browser.allow_clipboard(&origin);
    browser.open(&format!("{origin}/"));
    let message = "document.getElementById('message').textContent";
    browser.until("both are counted", &format!("{message} === '2 repositories'"));
    assert_eq!(browser.value("document.getElementById('host').textContent"), registry.address());
    assert_eq!(browser.value("document.getElementById('login').checkVisibility()"), false);
    let names =
        "[...document.querySelectorAll('.repository')].filter(e => e.checkVisibility()).map(e => e.textContent)";
    assert_eq!(browser.value(names), json!(["solo", "team/app"]));
    let search = |text: &str| {
        let field = "document.getElementById('filter')";
        browser.value(&format!("{field}.value = '{text}'; {field}.dispatchEvent(new Event('input'))"));
    };
    search("TEAM");
    assert_eq!(browser.value(names), json!(["team/app"]));
    search("");

    // Tags, platforms, sizes and layers of the one that is opened.
    browser.value("[...document.querySelectorAll('.repository')].find(e => e.textContent === 'team/app').click()");
    let lines = "[...document.querySelectorAll('li.tag')]";
    browser.until("the tags are filled in", &format!("{lines}.filter(e => e.querySelector('.platform')).length === 3"));
    let text = |class: &str| {
        let of = format!("{lines}.map(e => [...e.querySelectorAll('{class}')].map(e => e.textContent))");
        browser.value(&of)
    };
    assert_eq!(text(".name"), json!([["a"], ["all"], ["b"]]));
    assert_eq!(text(".platform"), json!([["linux/amd64"], ["linux/amd64", "linux/arm64"], ["linux/arm64"]]));
    assert_eq!(text(".size"), json!([["2.0 MB"], ["3.1 kB – 2.0 MB"], ["3.1 kB"]]));
    assert_eq!(text("summary")[1][0], "linux/amd64 · 2.0 MB · 1 layers");
    assert_eq!(browser.value(&format!("{lines}[1].querySelectorAll('tr').length")), 6, "two tables of two blobs");

    // The button copies what stands beside it.
    browser.value(&format!("{lines}[1].querySelector('.copy').click()"));
    browser.until("it is copied", &format!("{lines}[1].querySelector('.copy').textContent === 'Copied'"));
    let command = format!("docker pull {}/team/app:all", registry.address());
    assert_eq!(browser.value("navigator.clipboard.readText()"), command);
    assert_eq!(text(".command")[1][0], command);

    // With users, the page asks who one is, and shows nothing before it knows.
    registry.stop();
    registry.set_arguments(&["--htpasswd", "{}/users"]);
    registry.restart();
    browser.open(&format!("{origin}/?"));
    browser.until("it asks", "document.getElementById('login').checkVisibility()");
    assert_eq!(browser.value(names), json!([]));
    let log_in = |password: &str| {
        let set = |id: &str, value: &str| format!("document.getElementById('{id}').value = '{value}';");
        let click = "document.querySelector('#login button').click()";
        browser.value(&format!("{}{}{click}", set("user", "anna"), set("password", password)));
    };
    log_in("wrong");
    browser.until("it is refused", &format!("{message} === 'User or password is wrong.'"));
    log_in("secret");
    browser.until("it is let in", &format!("{message} === '2 repositories'"));
    assert_eq!(browser.value("document.getElementById('login').checkVisibility()"), false);
}
