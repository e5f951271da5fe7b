//! The same requests about images to Debian's dockerd and to wharf: the same answers, as far as both can know.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use wharf_testkit::golden::{Archive, busybox_rootfs};
use wharf_testkit::http::{Http, Response};
use wharf_testkit::registry::digest;
use wharf_testkit::{Options, TempEngine, foreign, wait};

/// A dockerd in namespaces of its own: it sees no other's bridge, and all of it dies with its first process.
struct Dockerd {
    process: Child,
    folder: tempfile::TempDir,
}

impl Dockerd {
    fn start() -> Option<Self> {
        let (dockerd, unshare) = (foreign::need("dockerd")?, foreign::need("unshare")?);
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new(unshare);
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).arg(dockerd);
        command.args(["--host", &format!("unix://{}", below("socket")), "--data-root", &below("data")]);
        command.args(["--exec-root", &below("exec"), "--pidfile", &below("pid"), "--bridge=none"]);
        command.args(["--iptables=false", "--ip-forward=false", "--cgroup-parent", &parent(&folder)]);
        let log = std::fs::File::create(below("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let this = Self { process, folder };
        wait::until("dockerd answers", || {
            this.http().get("/_ping").ok().filter(|answer| answer.status == 200).map(drop)
        });
        Some(this)
    }

    fn http(&self) -> Http {
        Http::new(&self.folder.path().join("socket"))
    }
}

fn parent(folder: &tempfile::TempDir) -> String {
    format!("/{}", folder.path().file_name().unwrap().to_str().unwrap().replace('.', "dockerd-"))
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        let groups = wharf_testkit::census::hierarchies().into_iter().map(|all| all.join(&parent(&self.folder)[1..]));
        let gone = |group: &PathBuf| match std::fs::remove_dir(group) {
            Ok(()) => true,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        for group in groups {
            wait::within(wait::PATIENCE, || gone(&group).then_some(()));
        }
    }
}

/// Both engines.
struct Both {
    docker: Http,
    wharf: Http,
    /// What was not the same.
    differences: Vec<String>,
}

/// An answer's status and its document, or the sentence of its error.
type Said = (u16, Value);

impl Both {
    fn ask(&mut self, method: &str, path: &str, body: &[u8], kind: &str) -> [Response; 2] {
        let path = format!("/v1.41{path}");
        [&mut self.docker, &mut self.wharf].map(|http| http.request(method, &path, body, kind).unwrap())
    }

    /// Asks both and compares what they say after `plain` has taken away what cannot be the same.
    #[track_caller]
    fn same(&mut self, method: &str, path: &str, plain: impl Fn(&mut Value)) -> Value {
        let [docker, wharf] = self.ask(method, path, &[], "").map(|answer| {
            let mut document = answer.json();
            usual(&mut document);
            plain(&mut document);
            (answer.status, document)
        });
        self.differences.extend(difference(&wharf, &docker).map(|what| format!("{method} {path}\n  {what}")));
        docker.1
    }

    #[track_caller]
    fn post(&mut self, path: &str, body: &Value) -> [Value; 2] {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask("POST", path, &bytes, "application/json").map(|answer| answer.ok().json())
    }

    fn load(&mut self, archive: &[u8]) {
        for answer in self.ask("POST", "/images/load?quiet=1", archive, "application/x-tar") {
            assert!(!answer.ok().text().contains("errorDetail"));
        }
    }
}

/// The lines that only one of them has.
fn difference(wharf: &Said, docker: &Said) -> Option<String> {
    let lines = |said: &Said| -> Vec<String> {
        let text = serde_json::to_string_pretty(&said.1).unwrap_or_default();
        std::iter::once(said.0.to_string()).chain(text.lines().map(str::to_owned)).collect()
    };
    let (wharf, docker) = (lines(wharf), lines(docker));
    let only = |own: &[String], other: &[String], sign: &str| -> Vec<String> {
        own.iter().filter(|line| !other.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut found = only(&docker, &wharf, "dockerd:");
    found.extend(only(&wharf, &docker, "wharf:  "));
    if found.is_empty() && wharf != docker {
        found.push("the same lines in another order or number".to_owned());
    }
    (!found.is_empty()).then(|| found.join("\n  "))
}

/// A docker-archive of images, each with its layers, labels and time.
fn archive(images: &[(&str, &[&[u8]], Value, &str)]) -> Vec<u8> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut manifest = Vec::new();
    for (name, layers, labels, created) in images {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let history: Vec<Value> = (0..layers.len())
            .map(|n| json!({"created": created, "created_by": format!("step {n}"), "comment": "by hand"}))
            .chain([json!({"created": created, "created_by": "CMD", "empty_layer": true})])
            .collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": created, "author": "somebody", "docker_version": "20.10",
            "config": {
                "Cmd": ["sh", "-c", "true"], "Env": ["PATH=/bin"], "Labels": labels, "WorkingDir": "/root",
                "User": "app", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGQUIT",
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000}, "Entrypoint": null,
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        });
        let config = config.to_string().into_bytes();
        let config_name = format!("{}.json", &digest(&config)["sha256:".len()..]);
        let member = |layer: &[u8]| format!("{}/layer.tar", &digest(layer)["sha256:".len()..]);
        manifest.push(json!({
            "Config": config_name, "RepoTags": [name],
            "Layers": layers.iter().map(|layer| member(layer)).collect::<Vec<_>>(),
        }));
        files.insert(config_name, config);
        files.extend(layers.iter().map(|layer| (member(layer), layer.to_vec())));
    }
    files.insert("manifest.json".into(), json!(manifest).to_string().into_bytes());
    files.iter().fold(Archive::new(), |archive, (name, bytes)| archive.file(name, 0o644, bytes)).finish()
}

/// What 20.10 says in a manner that later versions have left, and what follows from how files are kept: it counts the
/// length of symbolic links as size.
fn usual(document: &mut Value) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(usual),
        Value::Object(members) => {
            for name in ["Size", "VirtualSize"] {
                if let Some(size) = members.get(name).and_then(Value::as_i64) {
                    members.insert(name.to_owned(), json!((size + 5000) / 10_000));
                }
            }
            members.retain(|name, _| name != "DockerVersion");
            if members.get("RepoDigests").is_some_and(Value::is_null) {
                members.insert("RepoDigests".to_owned(), json!([]));
            }
            // It begins with a small letter by now.
            if let Some(Value::String(text)) = members.get_mut("message") {
                *text = text.replacen("Invalid filter", "invalid filter", 1);
            }
            if let Some((_, told)) = members.get("message").and_then(Value::as_str).and_then(|text| {
                text.split_once(": ").filter(|(_, told)| text.starts_with("no such image: ") && !told.is_empty())
            }) {
                let sentence = told.split_once(": ").map_or(told, |(_, sentence)| sentence).to_owned();
                members.insert("message".to_owned(), json!(sentence));
            }
        }
        _ => {}
    }
}

fn remove(document: &mut Value, keys: &[&str]) {
    if let Some(document) = document.as_object_mut() {
        keys.iter().for_each(|key| drop(document.remove(*key)));
    }
}

fn sort(document: &mut Value, key: impl Fn(&Value) -> String) {
    document.as_array_mut().into_iter().for_each(|list| list.sort_by_key(&key));
}

fn encoded(filters: &Value) -> String {
    let text = filters.to_string();
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The sentence alone, without the ids of containers, which differ.
fn sentence(document: &mut Value) {
    if let Some(text) = document["message"].as_str() {
        let words: Vec<&str> = text.split(' ').collect();
        let is_container = |n: usize| n > 0 && words[n - 1] == "container" && words[n].len() == 12;
        let words: Vec<&str> = (0..words.len()).map(|n| if is_container(n) { "ID" } else { words[n] }).collect();
        *document = json!({"message": words.join(" ")});
    }
}

#[test]
fn images_are_answered_for_as_dockerd_does() {
    let Some(dockerd) = Dockerd::start() else { return };
    let engine = TempEngine::start_with(Options { without_image: true, ..Options::default() });
    let mut both = Both { docker: dockerd.http(), wharf: engine.http(), differences: Vec::new() };
    let own = Archive::new().file("own", 0o644, b"12345").folder("root", 0o700).finish();
    let other = Archive::new().file("other", 0o644, b"123").finish();
    let layers: [&[u8]; 2] = [busybox_rootfs(), &own];
    both.load(&archive(&[
        ("app:1", &layers, json!({"kind": "app", "stage": "1"}), "2021-01-01T00:00:00Z"),
        ("team/app:2", &[busybox_rootfs(), &other], json!({"kind": "app"}), "2022-01-01T00:00:00Z"),
        ("localhost:5000/x:3", &[&other], Value::Null, "2023-01-01T00:00:00Z"),
    ]));
    documents(&mut both);
    lists(&mut both);
    containers(&mut both, &engine);
    archives(&mut both);
    removals(&mut both);
    prunes(&mut both);
    assert!(both.differences.is_empty(), "{}", both.differences.join("\n"));
    engine.finish();
}

fn documents(both: &mut Both) {
    // What the storage driver is called and where it has its files, and when a name was given, is each one's own.
    let own = ["GraphDriver", "Metadata"];
    for name in ["app:1", "team/app:2", "localhost:5000/x:3"] {
        both.same("GET", &format!("/images/{name}/json"), |document| remove(document, &own));
        both.same("GET", &format!("/images/{name}/history"), |_| {});
    }
    for path in ["/images/nothing/json", "/images/nothing:1/history"] {
        both.same("GET", path, sentence);
    }
    both.same("POST", "/images/app:1/tag?repo=more&tag=1", sentence);
    both.same("POST", "/images/nothing/tag?repo=more&tag=1", sentence);
    both.same("DELETE", "/images/nothing:1", sentence);
}

fn lists(both: &mut Both) {
    let plain = |document: &mut Value| {
        sort(document, |image| image["Id"].to_string());
        for image in document.as_array_mut().into_iter().flatten() {
            sort(&mut image["RepoTags"], Value::to_string);
            // dockerd says -1 where nobody asked.
            remove(image, &["Containers", "SharedSize"]);
        }
        sentence(document);
    };
    both.same("GET", "/images/json", plain);
    both.same("GET", "/images/json?all=1", plain);
    for filters in [
        json!({"reference": ["app"]}),
        json!({"reference": ["app:*"]}),
        json!({"reference": ["*/app"]}),
        json!({"reference": ["*/*:[1-3]"]}),
        json!({"reference": ["[a-l]*"]}),
        json!({"reference": ["mor?"]}),
        json!({"reference": ["localhost:5000/*"]}),
        json!({"reference": ["app", "team/app:2"]}),
        json!({"label": ["kind"]}),
        json!({"label": ["kind=app", "stage=1"]}),
        json!({"label": ["kind=other"]}),
        json!({"before": ["team/app:2"]}),
        json!({"since": ["app:1"]}),
        json!({"since": ["app:1"], "before": ["localhost:5000/x:3"]}),
        json!({"dangling": ["true"]}),
        json!({"dangling": ["false"]}),
        json!({"dangling": ["maybe"]}),
        json!({"before": ["nothing:1"]}),
        json!({"nonsense": ["x"]}),
    ] {
        both.same("GET", &format!("/images/json?filters={}", encoded(&filters)), plain);
    }
}

/// What a container changes, and the image that is made of it.
fn containers(both: &mut Both, engine: &TempEngine) {
    let script = "echo new > /new; rm /etc/not-a-program; echo more >> /etc/passwd; mkdir -p /a/b; ln -s x /link; \
                  rm -r /var/www; mkdir /var/www; mv /own /moved";
    let body = json!({
        "Image": "app:1", "Cmd": ["sh", "-c", script], "User": "root", "HostConfig": {"NetworkMode": "none"},
    });
    both.post("/containers/create?name=changer", &body);
    both.post("/containers/changer/start", &Value::Null);
    both.post("/containers/changer/wait", &Value::Null);
    let query = "container=changer&repo=made&tag=1&comment=by%20test&author=me&changes=ENV%20A%3Db&changes=LABEL%20x%3Dy%20z%3D1\
                 &changes=CMD%20%5B%22cat%22%5D&changes=EXPOSE%2081&changes=WORKDIR%20%2Fa";
    both.post(&format!("/commit?{query}"), &json!({}));
    both.same("GET", "/images/made:1/json", |document| {
        let layers = document["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
        document["RootFS"]["Layers"] = json!(layers);
        // Each engine's own; what the container was is not kept since API 1.45.
        for name in ["Hostname", "Image"] {
            remove(&mut document["Config"], &[name]);
        }
        remove(document, &["GraphDriver", "Metadata", "Id", "Created", "Container", "ContainerConfig"]);
    });
    both.same("GET", "/images/made:1/history", |document| {
        for step in document.as_array_mut().into_iter().flatten() {
            remove(step, &["Id", "Created"]);
        }
    });
    // Names and conflicts of what is in use.
    for path in ["/images/made:1?noprune=1", "/images/app:1", "/images/more:1", "/images/app:1?force=1"] {
        let said = both.same("DELETE", path, |document| {
            sentence(document);
            for item in document.as_array_mut().into_iter().flatten() {
                // The layer of a commit has another digest with each engine.
                item["Deleted"] = json!(item["Deleted"].is_string());
            }
        });
        assert!(said.is_array() || said["message"].is_string(), "{said}");
    }
    drop(both.ask("DELETE", "/containers/changer?v=1", &[], "").map(Response::ok));
    drop(engine.log());
    both.load(&archive(&[("app:1", &[busybox_rootfs()], json!({"kind": "app"}), "2021-01-01T00:00:00Z")]));
}

/// What the one saves the other loads, to the same image.
fn archives(both: &mut Both) {
    let ids = both.ask("GET", "/images/team/app:2/json", &[], "").map(|answer| answer.ok().json()["Id"].clone());
    assert_eq!(ids[0], ids[1]);
    let saved = both.ask("GET", "/images/get?names=team/app:2&names=app:1", &[], "").map(|answer| answer.ok().body);
    let [docker, wharf] = saved.each_ref().map(|bytes| names_in(bytes));
    assert_eq!(wharf, docker);
    for name in ["team/app:2", "app:1"] {
        drop(both.ask("DELETE", &format!("/images/{name}?force=1"), &[], "").map(Response::ok));
    }
    let [of_docker, of_wharf] = saved;
    for (http, archive) in [(&mut both.docker, of_wharf), (&mut both.wharf, of_docker)] {
        let answer = http.request("POST", "/v1.41/images/load?quiet=1", &archive, "application/x-tar").unwrap().ok();
        assert!(answer.text().contains("Loaded image: team/app:2"), "{}", answer.text());
        assert_eq!(http.get("/v1.41/images/team/app:2/json").unwrap().ok().json()["Id"], ids[0]);
    }
}

/// The names of all images of an archive, and how many layers each has.
fn names_in(archive: &[u8]) -> Vec<(String, usize)> {
    let mut tar = std::io::Cursor::new(archive);
    let mut command = Command::new("tar");
    command.args(["-xOf", "-", "manifest.json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut text = String::new();
    std::thread::scope(|scope| {
        // tar may have read enough before the end.
        scope.spawn(move || drop(std::io::copy(&mut tar, &mut input)));
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    });
    assert!(child.wait().unwrap().success());
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let name =
        |image: &Value| (image["RepoTags"][0].as_str().unwrap().to_owned(), image["Layers"].as_array().unwrap().len());
    let mut names: Vec<_> = manifest.as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

/// By name, by id, with several names, with force.
fn removals(both: &mut Both) {
    let id = both.ask("GET", "/images/localhost:5000/x:3/json", &[], "")[0].json()["Id"].as_str().unwrap().to_owned();
    let short = &id["sha256:".len()..][..12];
    for path in [
        "/images/localhost:5000/x:3/tag?repo=second&tag=1",
        "/images/localhost:5000/x:3/tag?repo=localhost:5000/x&tag=4",
    ] {
        both.same("POST", path, sentence);
    }
    let plain = |document: &mut Value| {
        sort(document, Value::to_string);
        sentence(document);
    };
    both.same("DELETE", &format!("/images/{short}"), plain);
    both.same("DELETE", "/images/second:1", plain);
    both.same("DELETE", &format!("/images/{short}"), plain);
    both.same("DELETE", &format!("/images/{id}?force=1"), plain);
    both.same("DELETE", &format!("/images/{id}"), plain);
}

fn prunes(both: &mut Both) {
    let plain = |document: &mut Value| {
        sort(&mut document["ImagesDeleted"], Value::to_string);
        // Blobs are kept beside the layers here, so more comes back.
        remove(document, &["SpaceReclaimed"]);
        sentence(document);
    };
    for filters in [
        json!({"dangling": ["false"], "until": ["2020-01-01T00:00:00Z"]}),
        json!({"dangling": ["false"], "label": ["kind=none"]}),
        json!({"dangling": ["false"], "label!": ["kind"]}),
        json!({"nonsense": ["x"]}),
        json!({"dangling": ["false"], "label": ["kind=app"], "until": ["2021-06-01T00:00:00Z"]}),
        json!({"dangling": ["false"]}),
    ] {
        both.same("POST", &format!("/images/prune?filters={}", encoded(&filters)), plain);
    }
    let left = both.same("GET", "/images/json?all=1", |_| {});
    assert_eq!(left, json!([]));
}
