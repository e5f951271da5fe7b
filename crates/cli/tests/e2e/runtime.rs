//! wharf as an OCI runtime: bundles, with no engine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use wharf_testkit::engine::program;
use wharf_testkit::{Output, foreign, golden};

/// A bundle in a folder of its own, and the runtime's state beside it.
struct Bundle {
    folder: tempfile::TempDir,
    runtime: PathBuf,
    id: String,
}

impl Bundle {
    /// A root of busybox; `change` changes the configuration that `spec` writes.
    fn new(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("wharf-runtime");
        std::os::unix::fs::symlink(program(), &runtime).unwrap();
        let id = format!("e2e-{name}-{}", std::process::id());
        let bundle = Self { folder, runtime, id };
        fs::create_dir(bundle.root()).unwrap();
        let mut archive = tar::Archive::new(golden::busybox_rootfs());
        archive.unpack(bundle.root()).unwrap();
        bundle.run(&["spec", "--bundle", bundle.path()]).ok();
        let file = bundle.folder.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["root"]["readonly"] = json!(false);
        change(&mut config);
        fs::write(file, config.to_string()).unwrap();
        bundle
    }

    fn shell(name: &str, script: &str) -> Self {
        Self::new(name, |config| config["process"]["args"] = json!(["sh", "-c", script]))
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        let state = self.folder.path().join("state");
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(state).args(words).env_clear();
        Output::of(&mut command, b"")
    }

    /// `words`, the id, and what stands behind it.
    fn on(&self, words: &[&str], behind: &[&str]) -> Output {
        self.run(&[words, &[self.id.as_str()], behind].concat())
    }

    /// Creates it without holding this process's pipes.
    fn create(&self) {
        let state = self.folder.path().join("state");
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(state).args(["create", "--bundle", self.path(), &self.id]);
        let null = || fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        assert!(command.stdin(null()).stdout(null()).stderr(null()).status().unwrap().success());
    }

    fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.on(&["state"], &[]).ok().stdout).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// Nothing is left of it.
    fn gone(&self) {
        assert!(self.run(&["list", "--quiet"]).ok().stdout.is_empty());
        assert!(!fs::exists(format!("/sys/fs/cgroup/pids/{}", self.id)).unwrap());
        assert!(!fs::exists(format!("/sys/fs/cgroup/{}", self.id)).unwrap());
    }
}

#[test]
fn a_bundle_runs_and_leaves_nothing() {
    let bundle = Bundle::shell("run", "echo out; hostname; exit 7");
    let output = bundle.on(&["run", "--bundle", bundle.path()], &[]).exits(7);
    assert_eq!(output.stdout, "out\nwharf\n");
    bundle.gone();
}

#[test]
fn a_container_waits_for_its_start_and_lives_its_life() {
    let bundle = Bundle::shell("life", "echo started > /started; exec sleep 600");
    bundle.create();
    assert_eq!(bundle.status(), "created");
    assert!(!bundle.root().join("started").exists());
    assert!(bundle.on(&["create", "--bundle", bundle.path()], &[]).exits(1).stderr.contains("already exists"));
    bundle.on(&["start"], &[]).ok();
    assert_eq!(bundle.status(), "running");
    assert!(bundle.on(&["start"], &[]).exits(1).stderr.contains("already running"));
    assert_eq!(bundle.on(&["exec"], &["sh", "-c", "cat /started; id -u"]).ok().stdout, "started\n0\n");
    bundle.on(&["exec"], &["sh", "-c", "exit 9"]).exits(9);
    bundle.on(&["exec"], &["nonsense"]).exits(127);
    bundle.on(&["pause"], &[]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.on(&["resume"], &[]).ok();
    bundle.on(&["delete"], &[]).exits(1);
    bundle.on(&["kill"], &["KILL"]).ok();
    wharf_testkit::wait::until("the container has stopped", || (bundle.status() == "stopped").then_some(()));
    assert!(bundle.on(&["kill"], &["TERM"]).exits(1).stderr.contains("container not running"));
    bundle.on(&["delete"], &[]).ok();
    bundle.on(&["delete", "--force"], &[]).ok();
    bundle.gone();
}

#[test]
fn hooks_run_where_and_when_they_should() {
    let bundle = Bundle::new("hooks", |config| {
        config["process"]["args"] = json!(["sh", "-c", "cat /inside >/dev/null && echo program >> /order"]);
        let inside = "cat > /inside; echo startContainer >> /order";
        config["hooks"]["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", inside] }]);
    });
    let file = bundle.folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let order = bundle.root().join("order");
    for name in ["prestart", "createRuntime", "createContainer", "poststop"] {
        let script = format!("grep -q '\"id\":\"{}\"' && echo {name} >> {}", bundle.id, order.display());
        config["hooks"][name] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    }
    fs::write(&file, config.to_string()).unwrap();
    bundle.on(&["run", "--bundle", bundle.path()], &[]).ok();
    let order = fs::read_to_string(order).unwrap();
    let order: Vec<_> = order.lines().collect();
    assert_eq!(order, ["prestart", "createRuntime", "createContainer", "startContainer", "program", "poststop"]);
    bundle.gone();
}

#[test]
fn users_and_clocks_are_the_containers_own() {
    let bundle = Bundle::new("users", |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.extend([json!({ "type": "user" }), json!({ "type": "time" })]);
        let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 100_000_000 } });
        let script = "id -u; test $(cut -d. -f1 /proc/uptime) -gt 100000000 && echo later; stat -c %u /mapped/file";
        config["process"]["args"] = json!(["sh", "-c", script]);
        let mount =
            json!({ "destination": "/mapped", "type": "bind", "source": "mapped", "options": ["bind", "idmap"] });
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    fs::create_dir(bundle.folder.path().join("mapped")).unwrap();
    // The root belongs to nobody inside, so nothing can be made in it there.
    fs::create_dir(bundle.root().join("mapped")).unwrap();
    fs::write(bundle.folder.path().join("mapped/file"), "").unwrap();
    let output = bundle.on(&["run", "--bundle", bundle.path()], &[]).ok();
    assert_eq!(output.stdout, "0\nlater\n0\n");
    bundle.gone();
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    for (name, change, word) in [
        ("rdt", json!({ "linux": { "intelRdt": {} } }), "intelRdt"),
        ("args", json!({ "process": { "args": [] } }), "args must not be empty"),
        ("none", json!({ "process": { "args": ["nonsense"] } }), "executable file not found"),
        ("mount", json!({ "linux": { "namespaces": [] } }), "mount namespace"),
    ] {
        let bundle = Bundle::new(name, |config| {
            for (part, fields) in change.as_object().unwrap() {
                for (field, value) in fields.as_object().unwrap() {
                    config[part][field] = value.clone();
                }
            }
        });
        let output = bundle.on(&["run", "--bundle", bundle.path()], &[]);
        assert!(output.code != 0 && output.stderr.contains(word), "{name}: {}", output.stderr);
        bundle.gone();
    }
}

/// Podman, with its own monitor, runs containers with wharf in place of its own runtime.
#[test]
fn podman_runs_containers_with_it() {
    if foreign::need("podman").is_none() {
        return;
    }
    let bundle = Bundle::shell("podman", "true");
    let folder = bundle.folder.path();
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        for (flag, value) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(flag).arg(folder.join(value));
        }
        command.args([
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            "--runtime",
        ]);
        Output::of(command.arg(&bundle.runtime).args(words), golden::busybox_rootfs())
    };
    podman(&["import", "-", "box:test"]).ok();
    let output = podman(&["run", "--rm", "--network", "none", "box:test", "sh", "-c", "echo $$; exit 3"]).exits(3);
    assert_eq!(output.stdout, "1\n");
    // Podman leaves the cgroup of its own monitors where it is.
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
        for name in ["libpod_parent/conmon", "libpod_parent"] {
            let _not_there = fs::remove_dir(hierarchy.as_ref().unwrap().path().join(name));
        }
    }
}
