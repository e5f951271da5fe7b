//! Images from registries and into them: Debian's registry, one that misbehaves, Docker's own command line.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use wharf_testkit::certificates::Authority;
use wharf_testkit::golden::{Archive, busybox_rootfs};
use wharf_testkit::registry::{Auth, Faults, FaultyRegistry, noise};
use wharf_testkit::{Options, Output, TempEngine, foreign, wait};

fn empty() -> TempEngine {
    TempEngine::start_with(Options { without_image: true, ..Options::default() })
}

/// Debian's registry on a free port, gone with the value.
pub struct Distribution {
    process: Child,
    pub address: String,
    folder: tempfile::TempDir,
}

impl Distribution {
    fn start() -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), "", "")
    }

    /// With more below `http:` and beside it; `{}` stands for the folder.
    pub fn start_in(place: tempfile::TempDir, http: &str, more: &str) -> Option<Self> {
        let program = foreign::need("docker-registry")?;
        let folder = place.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {{}}/registry}}, delete: \
             {{enabled: true}}}}\nhttp: {{addr: {address}{http}}}\n{more}\n"
        );
        let settings = settings.replace("{}", &folder.display().to_string());
        let path = folder.join("registry.yml");
        std::fs::write(&path, settings).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        wait::until("the registry listens", || std::net::TcpStream::connect(&address).ok());
        Some(Self { process, address, folder: place })
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}

fn digest_of(engine: &TempEngine, name: &str) -> String {
    engine.cli(&["inspect", "-f", "{{index .RepoDigests 0}}", name]).ok().line().to_owned()
}

#[test]
fn an_image_goes_to_debians_registry_and_comes_back() {
    let engine = TempEngine::start();
    let Some(registry) = Distribution::start() else { return };
    let (one, two) = (format!("{}/team/one:x", registry.address), format!("{}/two:y", registry.address));
    engine.cli(&["tag", "busybox:test", &one]).ok();
    assert!(engine.cli(&["push", &one]).ok().stdout.contains("x: digest: sha256:"));
    let digest = digest_of(&engine, &one);
    engine.cli(&["tag", &one, &two]).ok();
    let pushed = engine.cli(&["push", &two]).ok().stdout;
    assert!(pushed.contains("Mounted from team/one"), "{pushed}");
    assert!(engine.cli(&["push", &two]).ok().stdout.contains("Layer already exists"));
    for name in [&one, &two] {
        engine.cli(&["rmi", name]).ok();
    }
    engine.cli(&["rmi", "busybox:test"]).ok();
    assert_eq!(engine.cli(&["images", "-aq"]).ok().stdout, "");
    // A missing image is fetched by the first command that needs it.
    let run = engine.cli(&["run", "--rm", &one, "echo", "back"]).ok();
    assert_eq!(run.stdout, "back\n");
    assert!(run.stderr.contains("Unable to find image") && run.stderr.contains("Pull complete"), "{}", run.stderr);
    assert_eq!(digest_of(&engine, &one), digest);
    assert!(engine.cli(&["pull", &one]).ok().stdout.contains("Image is up to date"));
    assert!(engine.cli(&["pull", &two]).ok().stdout.contains("Downloaded newer image"));
    assert_eq!(engine.cli(&["pull", "-q", &two]).ok().line(), two);
    engine.cli(&["run", "--rm", "--pull", "never", &two, "true"]).ok();
    let missing = engine.cli(&["run", "--rm", "--pull", "never", "nosuch:1"]).exits(125);
    assert!(missing.stderr.contains("No such image"), "{}", missing.stderr);
    let shown = engine.cli(&["manifest", "inspect", &one]).ok().stdout;
    assert!(shown.contains("\"layers\"") && shown.contains("\"config\""), "{shown}");
    let remote = engine.cli(&["image", "inspect", "--remote", &one]).ok().stdout;
    assert!(remote.contains("\"amd64\"") && remote.contains(digest.split('@').nth(1).unwrap()), "{remote}");
    assert!(engine.cli(&["search", &format!("{}/team", registry.address)]).ok().stdout.contains("team/one"));
    engine.finish();
}

#[test]
fn debians_registry_is_used_with_a_password_over_an_encrypted_connection() {
    let authority = Authority::new("one");
    let folder = tempfile::tempdir().unwrap();
    authority.sign(&["127.0.0.1"]).write(folder.path(), "server");
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    let users = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    let tls = ", tls: {certificate: {}/server.pem, key: {}/server.key.pem}";
    let users = "auth: {htpasswd: {realm: test, path: {}/users}}";
    let Some(registry) = Distribution::start_in(folder, tls, users) else { return };
    let hosts = registry.folder.path().join("certs.d");
    let place = hosts.join(&registry.address);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("ca.crt"), authority.certificate()).unwrap();
    let arguments = vec!["--hosts-dir".to_owned(), hosts.display().to_string()];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let name = format!("{}/team/app:1", registry.address);
    engine.cli(&["tag", "busybox:test", &name]).ok();
    assert!(engine.cli(&["push", &name]).exits(1).stderr.contains("wharf login"));
    let login =
        |password: &[u8]| engine.cli_stdin(&["login", "-u", "anna", "--password-stdin", &registry.address], password);
    login(b"wrong").exits(1);
    login(b"secret").ok();
    engine.cli(&["push", &name]).ok();
    engine.cli(&["rmi", &name, "busybox:test"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", &name, "echo", "here"]).ok().stdout, "here\n");
    let shown = engine.cli(&["manifest", "inspect", &name]).ok().stdout;
    assert!(shown.contains("\"layers\""), "{shown}");
    engine.cli(&["logout", &registry.address]).ok();
    engine.cli(&["rmi", &name]).ok();
    engine.cli(&["pull", &name]).exits(1);
    engine.finish();
}

#[test]
fn docker_pulls_pushes_and_logs_in_through_wharf() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let Some(registry) = Distribution::start() else { return };
    let docker = |arguments: &[&str]| engine.docker(arguments).unwrap();
    let name = format!("{}/app:1", registry.address);
    docker(&["tag", "busybox:test", &name]).ok();
    assert!(docker(&["push", &name]).ok().stdout.contains("1: digest: sha256:"));
    docker(&["rmi", &name, "busybox:test"]).ok();
    let pulled = docker(&["pull", &name]).ok().stdout;
    assert!(pulled.contains("Pull complete") && pulled.contains("Downloaded newer image for"), "{pulled}");
    assert!(docker(&["pull", &name]).ok().stdout.contains("Image is up to date"));
    docker(&["rmi", &name]).ok();
    assert_eq!(docker(&["run", "--rm", &name, "echo", "here"]).ok().stdout, "here\n");
    assert!(docker(&["images", "--digests"]).ok().stdout.contains("sha256:"));
    let missing = docker(&["pull", &format!("{}/nosuch:1", registry.address)]).exits(1);
    assert!(missing.stderr.contains("not found: manifest unknown"), "{}", missing.stderr);
    docker(&["pull", "-a", &format!("{}/app", registry.address)]).ok();
    let mut login = engine.docker_command(&["login", "-u", "a", "--password-stdin", &registry.address]).unwrap();
    assert!(Output::of(&mut login, b"b").ok().stdout.contains("Login Succeeded"));
    engine.finish();
}

/// A layer with a file of noise, and busybox below it.
fn layers(megabytes: usize, seed: u64) -> Vec<Vec<u8>> {
    let content = noise(megabytes << 20, seed);
    vec![busybox_rootfs().to_vec(), Archive::new().file("noise", 0o644, &content).finish()]
}

fn size_of(layers: &[Vec<u8>]) -> f64 {
    layers.iter().map(|layer| layer.len() as f64).sum()
}

#[test]
fn a_pull_goes_on_after_the_engine_was_killed() {
    let registry = FaultyRegistry::start();
    let layers = layers(12, 1);
    registry.image("app", "1", &layers);
    let name = format!("{}/app:1", registry.address());
    let slow = Some(std::time::Duration::from_millis(10));
    registry.set(Faults { slow, cut_after: Some(3 << 20), ..Faults::default() });
    let mut engine = empty();
    let pull = engine.cli_command(&["pull", &name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait::until("half of it has come", || (registry.sent() as f64 > size_of(&layers) / 2.0).then_some(()));
    engine.kill9();
    assert_ne!(Output::of_child(pull).code, 0);
    engine.restart();
    let parts = &engine.get("/system/df?verbose=1")["io.wharf.StoreUsage"];
    assert!(parts["Partials"].as_u64().unwrap() >= 1 && parts["PartialsSize"].as_u64().unwrap() > 1 << 20, "{parts}");
    assert!(engine.cli(&["system", "df"]).ok().stdout.contains("Images: unfinished"));
    let check = engine.cli(&["system", "check", "--repair"]).ok();
    assert!(!check.stdout.contains("unfinished"), "it may be continued: {}", check.stdout);
    engine.cli(&["pull", &name]).ok();
    assert_eq!(engine.get("/system/df?verbose=1")["io.wharf.StoreUsage"]["Partials"], 0);
    let sent = registry.sent() as f64;
    assert!(sent <= 1.02 * size_of(&layers), "{sent} bytes for {}", size_of(&layers));
    assert_eq!(engine.cli(&["run", "--rm", &name]).ok().stdout, "pulled\n");
    engine.finish();
}

#[test]
fn pulls_of_the_same_layers_share_one_download() {
    let registry = FaultyRegistry::start();
    let layers = layers(4, 2);
    registry.image("one", "1", &layers);
    registry.image("two", "1", &layers);
    registry.set(Faults { slow: Some(std::time::Duration::from_millis(5)), ..Faults::default() });
    let engine = empty();
    let names = ["one", "two"].map(|name| format!("{}/{name}:1", registry.address()));
    let pulls = names.each_ref().map(|name| {
        let mut command = engine.cli_command(&["pull", name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    pulls.into_iter().for_each(|pull| drop(Output::of_child(pull).ok()));
    // Each pull reads the configuration itself, which is a few hundred bytes.
    assert!(registry.sent() as f64 <= size_of(&layers) + 4096.0, "{} bytes", registry.sent());
    for name in &names {
        assert_eq!(engine.cli(&["run", "--rm", name]).ok().stdout, "pulled\n");
    }
    engine.finish();
}

#[test]
fn content_that_is_not_what_it_promises_never_becomes_an_image() {
    let registry = FaultyRegistry::start();
    registry.image("app", "1", &layers(1, 3));
    let name = format!("{}/app:1", registry.address());
    let engine = empty();
    registry.set(Faults { spoil: 100, ..Faults::default() });
    let failed = engine.cli(&["pull", &name]).exits(1);
    assert!(failed.stderr.contains("digest") || failed.stderr.contains("other content"), "{}", failed.stderr);
    assert_eq!(engine.cli(&["images", "-aq"]).ok().stdout, "");
    registry.set(Faults { spoil: 1, ..Faults::default() });
    drop(engine.cli(&["pull", &name]));
    registry.set(Faults::default());
    engine.cli(&["pull", &name]).ok();
    assert_eq!(engine.cli(&["run", "--rm", &name]).ok().stdout, "pulled\n");
    engine.finish();
}

#[test]
fn docker_hub_is_asked_for_library_images_with_its_tokens() {
    let hub = FaultyRegistry::start();
    hub.image("library/hello", "latest", &layers(1, 4));
    let secret = Some(("me".to_owned(), "secret".to_owned()));
    hub.set(Faults { auth: Auth::Token(100, secret), ..Faults::default() });
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("docker.io");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("hosts.toml"), format!("server = \"http://{}\"\n", hub.address())).unwrap();
    let arguments = vec!["--hosts-dir".to_owned(), folder.path().display().to_string()];
    let engine = TempEngine::start_with(Options { without_image: true, arguments, ..Options::default() });
    let refused = engine.cli(&["pull", "hello"]).exits(1);
    assert!(refused.stderr.contains("pull access denied for hello"), "{}", refused.stderr);
    assert!(refused.stderr.contains("wharf login"), "{}", refused.stderr);
    engine.cli_stdin(&["login", "-u", "me", "--password-stdin"], b"wrong\n").exits(1);
    let login = engine.cli_stdin(&["login", "-u", "me", "--password-stdin"], b"secret\n").ok();
    assert!(login.stdout.contains("Login Succeeded"), "{}", login.stdout);
    // A token that lasts is kept, and not the password.
    let kept = std::fs::read_to_string(engine.scratch().parent().unwrap().join(".docker/config.json")).unwrap();
    assert!(kept.contains("\"identitytoken\": \"lasting\""), "{kept}");
    let pulled = engine.cli(&["pull", "hello"]).ok().stdout;
    assert!(pulled.ends_with("docker.io/library/hello:latest\n"), "{pulled}");
    assert!(hub.count("POST", "/token") > 0, "it was used");
    assert!(hub.count("HEAD", "/v2/library/hello/manifests/latest") > 0);
    assert!(engine.cli(&["logout"]).ok().stdout.contains("Removing login credentials"));
    engine.finish();
}

#[test]
fn the_engine_pulls_through_the_proxy_of_its_environment() {
    let proxy = FaultyRegistry::start();
    proxy.image("team/app", "1", &layers(1, 7));
    let hosts = tempfile::tempdir().unwrap();
    for name in ["registry.invalid", "direct.invalid"] {
        std::fs::create_dir(hosts.path().join(name)).unwrap();
        let server = format!("server = \"http://{name}\"");
        std::fs::write(hosts.path().join(name).join("hosts.toml"), server).unwrap();
    }
    let flag = |name: &str, value: String| [name.to_owned(), value];
    let arguments = [
        flag("--hosts-dir", hosts.path().display().to_string()),
        flag("--http-proxy", format!("http://me:secret@{}", proxy.address())),
        flag("--registry-mirror", "https://mirror.invalid".to_owned()),
        flag("--insecure-registry", "old.invalid:5000".to_owned()),
        flag("--no-proxy", "direct.invalid".to_owned()),
        flag("--max-download-attempts", "1".to_owned()),
    ];
    let arguments = arguments.concat();
    let engine = TempEngine::start_with(Options { without_image: true, arguments, ..Options::default() });
    // What stands for a proxy sees whole addresses where a registry sees paths.
    let failed = engine.cli(&["pull", "registry.invalid/team/app:1"]).exits(1).stderr;
    assert!(failed.contains("not found"), "{failed}");
    assert!(proxy.requests()[0].path.starts_with("http://registry.invalid/v2/team/app/"), "{:?}", proxy.requests());
    assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some("Basic bWU6c2VjcmV0"));
    let count = proxy.requests().len();
    let failed = engine.cli(&["pull", "direct.invalid/team/app:1"]).exits(1).stderr;
    assert!(failed.contains("direct.invalid"), "{failed}");
    assert_eq!(proxy.requests().len(), count);
    let info = engine.get("/info");
    assert_eq!(info["HttpProxy"], format!("http://xxxxx:xxxxx@{}", proxy.address()));
    assert_eq!(info["NoProxy"], "direct.invalid");
    let registries = &info["RegistryConfig"];
    assert_eq!(registries["IndexConfigs"]["docker.io"]["Mirrors"][0], "https://mirror.invalid");
    assert_eq!(registries["IndexConfigs"]["old.invalid:5000"]["Secure"], false);
    engine.finish();
}

#[test]
fn a_credential_helper_is_asked_and_told() {
    use std::os::unix::fs::PermissionsExt;
    let registry = FaultyRegistry::start();
    registry.image("team/app", "1", &layers(1, 8));
    registry.set(Faults { auth: Auth::Basic("me".into(), "secret".into()), ..Faults::default() });
    let engine = empty();
    let folder = engine.scratch();
    let script = "#!/bin/sh\nf=$HOME/scratch/kept\ncase $1 in\nstore) cat > $f;;\nget) cat > $f.asked; [ -e $f ] && cat $f || \
                  { echo 'credentials not found in native keychain'; exit 1; };;\nerase) rm $f;;\nesac\n";
    let helper = folder.join("docker-credential-testing");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("config.json"), r#"{"credsStore":"testing"}"#).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = engine.cli_command(&[&["--config", config.to_str().unwrap()], arguments].concat());
        Output::of(command.env("PATH", &path), input)
    };
    let name = format!("{}/team/app:1", registry.address());
    run(&["pull", &name], b"").exits(1);
    let login = run(&["login", "-u", "me", "--password-stdin", &registry.address()], b"secret").ok();
    assert!(!login.stderr.contains("unencrypted"), "{}", login.stderr);
    assert!(std::fs::read_to_string(folder.join("kept")).unwrap().contains("secret"));
    assert!(!std::fs::read_to_string(config.join("config.json")).unwrap().contains("secret"));
    run(&["pull", &name], b"").ok();
    assert_eq!(std::fs::read_to_string(folder.join("kept.asked")).unwrap().trim(), registry.address());
    run(&["logout", &registry.address()], b"").ok();
    assert!(!folder.join("kept").exists());
    engine.finish();
}

#[test]
fn a_list_of_platforms_is_made_annotated_pushed_and_pulled() {
    let registry = FaultyRegistry::start();
    let engine = empty();
    for (tag, seed) in [("one", 5), ("two", 6)] {
        registry.image("app", tag, &layers(1, seed));
    }
    let name = |tag: &str| format!("{}/app:{tag}", registry.address());
    let (list, one, two) = (name("list"), name("one"), name("two"));
    engine.cli(&["manifest", "create", &list, &one, &two]).ok();
    engine.cli(&["manifest", "create", &list, &one]).exits(1);
    engine.cli(&["manifest", "annotate", "--arch", "arm64", "--variant", "v8", &list, &two]).ok();
    engine.cli(&["manifest", "annotate", "--arch", "arm64", &list, &name("list2")]).exits(1);
    let digest = engine.cli(&["manifest", "push", "--purge", &list]).ok();
    assert!(digest.line().starts_with("sha256:"), "{}", digest.stdout);
    engine.cli(&["manifest", "rm", &list]).exits(1);
    let shown = engine.cli(&["manifest", "inspect", &list]).ok().stdout;
    assert!(shown.contains("\"arm64\"") && shown.contains("\"amd64\""), "{shown}");
    let pulled = engine.cli(&["pull", &list]).ok().stdout;
    assert!(pulled.contains(digest.line()), "{pulled}");
    assert_eq!(engine.cli(&["run", "--rm", &list]).ok().stdout, "pulled\n");
    let missing = engine.cli(&["pull", "--platform", "linux/s390x", &list]).exits(1);
    assert!(missing.stderr.contains("no matching manifest for linux/s390x"), "{}", missing.stderr);
    let index = name("index");
    engine.cli(&["image", "index", "--tag", &index, &one, &two]).ok();
    assert!(registry.count("PUT", "/manifests/index") == 1);
    engine.finish();
}
