//! `wharf registry serve` and the clients that people have: buildah, podman, skopeo and Docker's own command line.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wharf_testkit::{Output, TempRegistry, foreign};

/// buildah and podman with one store of images between them, away from the machine's own.
struct Containers<'a> {
    folder: &'a Path,
}

impl Containers<'_> {
    fn run(&self, program: &Path, own: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder);
        command.env("TMPDIR", self.folder).env("XDG_RUNTIME_DIR", self.folder).current_dir(self.folder);
        command.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        let folder = |name: &str| self.folder.join(name).display().to_string();
        command.args(["--storage-driver", "vfs", "--root", &folder("store"), "--runroot", &folder("run")]);
        Output::of(command.args(own).args(arguments), b"")
    }

    fn buildah(&self, program: &Path, arguments: &[&str]) -> String {
        self.run(program, &[], arguments).ok().line().to_owned()
    }

    fn podman(&self, program: &Path, arguments: &[&str]) -> Output {
        let tmp = self.folder.join("tmp").display().to_string();
        let own = ["--tmpdir", &tmp, "--cgroup-manager", "cgroupfs", "--events-backend", "none"];
        self.run(program, &own, arguments)
    }
}

/// `podman login` writes here, buildah and skopeo read it.
fn secured() -> TempRegistry {
    let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    let users = "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    TempRegistry::start_in(folder, &["--htpasswd", "{}/users"])
}

fn tags(registry: &TempRegistry, name: &str) -> Value {
    let basic = [("Authorization", "Basic YW5uYTpzZWNyZXQ=")];
    registry.request("GET", &format!("/v2/{name}/tags/list"), &basic, b"").unwrap().json()["tags"].clone()
}

#[test]
fn buildah_and_podman_push_pull_search_and_make_lists() {
    let (Some(buildah), Some(podman)) = (foreign::need("buildah"), foreign::need("podman")) else { return };
    let registry = secured();
    let place = registry.folder().join("containers");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("greeting"), "hello").unwrap();
    // Theirs look for a policy about signatures, and for short names, in the user's folder.
    let settings = place.join(".config/containers");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::write(settings.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    // Its locks would stay behind in the machine's shared memory.
    std::fs::write(place.join("containers.conf"), "[engine]\nlock_type = \"file\"\n").unwrap();
    let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.address());
    std::fs::write(settings.join("registries.conf"), insecure).unwrap();
    let them = Containers { folder: &place };
    let auth_file = place.join("auth.json").display().to_string();
    let auth = ["--authfile", &auth_file];
    let name = |name: &str| registry.reference(name);

    let login = |password: &str| {
        let arguments = ["login", "--username", "anna", "--password", password, registry.address()];
        them.podman(&podman, &[&arguments[..1], &auth, &arguments[1..]].concat())
    };
    assert_ne!(login("wrong").code, 0);
    assert!(login("secret").ok().stdout.contains("Login Succeeded"));
    let with_login = |words: &[&str], rest: &[&str]| them.podman(&podman, &[words, &auth, rest].concat());

    let container = them.buildah(&buildah, &["from", "scratch"]);
    them.buildah(&buildah, &["copy", &container, "greeting", "/"]);
    them.buildah(&buildah, &["commit", "--quiet", &container, &name("team/app:amd64")]);
    them.buildah(&buildah, &["config", "--arch", "arm64", &container]);
    them.buildah(&buildah, &["commit", "--quiet", "--rm", &container, &name("team/app:arm64")]);
    for tag in ["team/app:amd64", "team/app:arm64"] {
        them.buildah(&buildah, &["push", "--quiet", "--authfile", &auth_file, &name(tag)]);
    }
    let docker_form = format!("docker://{}", name("team/app:v2s2"));
    them.buildah(
        &buildah,
        &["push", "--quiet", "--authfile", &auth_file, "--format", "v2s2", &name("team/app:amd64"), &docker_form],
    );
    assert_eq!(tags(&registry, "team/app"), serde_json::json!(["amd64", "arm64", "v2s2"]));

    them.podman(&podman, &["rmi", "--all", "--force"]).ok();
    with_login(&["pull", "--quiet"], &[&name("team/app:amd64")]).ok();
    them.podman(&podman, &["tag", &name("team/app:amd64"), &name("other:1")]).ok();
    with_login(&["push", "--quiet"], &[&name("other:1")]).ok();
    let found = with_login(&["search"], &[&name("team")]).ok().stdout;
    assert!(found.contains("team/app") && !found.contains("other"), "{found}");
    let found = with_login(&["search", "--list-tags"], &[&name("team/app")]).ok().stdout;
    assert!(found.contains("v2s2"), "{found}");

    them.podman(&podman, &["manifest", "create", "list"]).ok();
    for tag in ["amd64", "arm64"] {
        let part = format!("docker://{}", name(&format!("team/app:{tag}")));
        with_login(&["manifest", "add"], &["list", &part]).ok();
    }
    let target = format!("docker://{}", name("team/app:list"));
    with_login(&["manifest", "push", "--all"], &["list", &target]).ok();
    let basic = [("Authorization", "Basic YW5uYTpzZWNyZXQ=")];
    let list = registry.request("GET", "/v2/team/app/manifests/list", &basic, b"").unwrap().json();
    let platforms: Vec<_> =
        list["manifests"].as_array().unwrap().iter().map(|part| &part["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    them.podman(&podman, &["rmi", "--all", "--force"]).ok();
    with_login(&["pull", "--quiet", "--arch", "arm64"], &[&name("team/app:list")]).ok();
    let shown = them.podman(&podman, &["inspect", "--format", "{{.Architecture}}", &name("team/app:list")]).ok();
    assert_eq!(shown.line(), "arm64");
}

#[test]
fn skopeo_copies_lists_of_platforms_and_deletes() {
    let Some(skopeo) = foreign::need("skopeo") else { return };
    let registry = TempRegistry::start();
    let folder = registry.folder().to_owned();
    let skopeo = |arguments: &[&str]| {
        let mut command = Command::new(&skopeo);
        command.args(&arguments[..1]);
        match arguments[0] {
            "copy" => command.args(["--src-tls-verify=false", "--dest-tls-verify=false"]),
            _ => command.arg("--tls-verify=false"),
        };
        Output::of(command.args(&arguments[1..]).env("HOME", &folder), b"")
    };
    let mut parts = Vec::new();
    for (tag, architecture) in [("one", "amd64"), ("two", "arm64")] {
        let config = format!(
            "{{\"architecture\":\"{architecture}\",\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[]}}}}"
        );
        let digest = registry.push_blob("app", config.as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type, "layers": [],
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len() },
        })
        .to_string();
        let digest = registry.push_manifest("app", tag, media_type, manifest.as_bytes());
        let platform = serde_json::json!({ "os": "linux", "architecture": architecture });
        parts.push(serde_json::json!({ "mediaType": media_type, "digest": digest, "size": manifest.len(), "platform": platform }));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": parts }).to_string();
    let index = registry.push_manifest("app", "all", media_type, index.as_bytes());
    let name = |name: &str| format!("docker://{}", registry.reference(name));

    skopeo(&["copy", "--all", "--preserve-digests", &name("app:all"), &name("mirror/app:all")]).ok();
    let copied = registry.request("GET", "/v2/mirror/app/manifests/all", &[], b"").unwrap();
    assert_eq!(copied.header("docker-content-digest"), index);
    skopeo(&["copy", "--override-arch", "arm64", &name("mirror/app:all"), &name("mirror/app:arm")]).ok();
    let shown = skopeo(&["inspect", &name("mirror/app:arm")]).ok().stdout;
    assert!(shown.contains("\"Architecture\": \"arm64\""), "{shown}");
    let listed = skopeo(&["list-tags", &name("mirror/app")]).ok().stdout;
    assert!(listed.contains("\"all\"") && listed.contains("\"arm\""), "{listed}");
    // It deletes by digest, and so every tag that stands for it. A part cannot go before its whole.
    assert_ne!(skopeo(&["delete", &name("mirror/app:arm")]).code, 0);
    skopeo(&["delete", &name("mirror/app:all")]).ok();
    assert_eq!(skopeo(&["inspect", "--raw", &name("mirror/app:all")]).code, 1);
    skopeo(&["delete", &name("mirror/app:arm")]).ok();
    assert_eq!(tags(&registry, "mirror/app"), serde_json::json!([]));
    assert_eq!(
        tags(&registry, "app"),
        serde_json::json!(["all", "one", "two"]),
        "another repository is none of its business"
    );
}

#[test]
fn dockers_own_command_line_pushes_pulls_and_makes_lists() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = wharf_testkit::TempEngine::start();
    let registry = secured();
    let docker = |arguments: &[&str]| engine.docker(arguments).unwrap();
    let login = |password: &str| {
        let arguments = ["login", "-u", "anna", "--password-stdin", registry.address()];
        Output::of(&mut engine.docker_command(&arguments).unwrap(), password.as_bytes())
    };
    let name = registry.reference("team/app:1");
    docker(&["tag", "busybox:test", &name]).ok();
    docker(&["push", &name]).exits(1);
    login("wrong").exits(1);
    assert!(login("secret").ok().stdout.contains("Login Succeeded"));
    docker(&["push", &name]).ok();
    docker(&["rmi", &name, "busybox:test"]).ok();
    assert_eq!(docker(&["run", "--rm", &name, "echo", "here"]).ok().stdout, "here\n");
    // These it sends to the registry itself, past the engine.
    let list = registry.reference("team/app:list");
    docker(&["manifest", "create", "--insecure", &list, &name]).ok();
    docker(&["manifest", "annotate", "--arch", "arm64", "--variant", "v8", &list, &name]).ok();
    let pushed = docker(&["manifest", "push", "--insecure", &list]).ok();
    assert!(pushed.line().starts_with("sha256:"), "{}", pushed.stdout);
    let shown = docker(&["manifest", "inspect", "--insecure", &list]).ok().stdout;
    assert!(shown.contains("\"arm64\"") && shown.contains("\"v8\""), "{shown}");
    docker(&["logout", registry.address()]).ok();
    docker(&["rmi", &name]).ok();
    docker(&["pull", &name]).exits(1);
    engine.finish();
}
