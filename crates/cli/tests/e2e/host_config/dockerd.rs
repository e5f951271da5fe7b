//! The same requests to dockerd 20.10: same status, same warnings, same `HostConfig`.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use wharf_testkit::http::Http;
use wharf_testkit::{TempEngine, foreign, golden, wait};

use super::{Created, create, create_and_keep, skipped};

/// Requests that dockerd 20.10 finds fault with only when the container is started, and versions since when it is created.
const EARLIER: [&str; 8] = [
    r#"{"PidMode":"nonsense"}"#,
    r#"{"PidMode":"container:"}"#,
    r#"{"IpcMode":"nonsense"}"#,
    r#"{"UTSMode":"nonsense"}"#,
    r#"{"UsernsMode":"nonsense"}"#,
    r#"{"RestartPolicy":{"MaximumRetryCount":3,"Name":""}}"#,
    r#"{"NetworkMode":"container:no-such"}"#,
    r#"{"Annotations":{"a":"b"}}"#,
];

/// Fields that differ on purpose: a cgroup namespace on both versions of cgroups, another runtime's name, notes that
/// 20.10 did not know, a size that it shows and does not heed, paths that are masked since.
const OTHER: [&str; 6] = ["CgroupnsMode", "Runtime", "Annotations", "ConsoleSize", "MaskedPaths", "ReadonlyPaths"];

struct Dockerd {
    folder: tempfile::TempDir,
    process: Child,
}

impl Dockerd {
    /// In a network namespace of its own, so that it changes nothing of the host's; `None` where 20.10 is not installed.
    fn start() -> Option<Self> {
        let program = foreign::need("dockerd")?;
        let version = Command::new(&program).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        if !version.contains(" 20.10.") {
            skipped(&format!("this compares with dockerd 20.10, and here is {}", version.trim()));
            return None;
        }
        let folder = tempfile::Builder::new().prefix("wharf-test-dockerd-").tempdir().unwrap();
        let below = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--"]).arg(program);
        command.args(["--host", &format!("unix://{}", below("s")), "--data-root", &below("data")]);
        command.args(["--exec-root", &below("exec"), "--pidfile", &below("pid"), "--bridge=none", "--iptables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false"]);
        let log = std::fs::File::create(below("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let dockerd = Self { folder, process };
        let mut http = dockerd.http();
        wait::until("dockerd answers", || {
            http = dockerd.http();
            http.get("/_ping").ok().filter(|answer| answer.status == 200)
        });
        let rootfs = golden::busybox_rootfs();
        http.request("POST", "/images/create?fromSrc=-&repo=busybox&tag=test", rootfs, "application/x-tar")
            .unwrap()
            .ok();
        Some(dockerd)
    }

    fn http(&self) -> Http {
        Http::new(&self.folder.path().join("s"))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ended = self.process.wait();
    }
}

fn differences(case: &Value, theirs: &Created, ours: &Created) -> Vec<String> {
    let mut all = Vec::new();
    let name = case.to_string();
    if theirs
        .warnings
        .iter()
        .any(|warning| warning.contains("eight discarded") || warning.contains("eight-device discarded"))
    {
        // It does not know the I/O scheduler that weighs nowadays.
        return all;
    }
    // It called some mistakes of a request its own; versions since do not.
    let refused = |status: u16| matches!(status, 400 | 500);
    let same = theirs.status == ours.status || refused(theirs.status) && refused(ours.status);
    if !same && !EARLIER.contains(&name.as_str()) {
        all.push(format!("{name}: {} {} here, {} {} there", ours.status, ours.message, theirs.status, theirs.message));
    }
    if theirs.status != 201 || ours.status != 201 {
        return all;
    }
    if theirs.warnings != ours.warnings {
        all.push(format!("{name}: warnings {:?} here, {:?} there", ours.warnings, theirs.warnings));
    }
    let keys = |created: &Created| created.host.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for key in keys(theirs).union(&keys(ours)).filter(|key| !OTHER.contains(&key.as_str()) || case.get(key).is_some()) {
        let (own, other) = (&ours.host[key], &theirs.host[key]);
        let left_out = key.starts_with("KernelMemory") && own.is_null() && *other == json!(0);
        let newer = case.get(key).is_some_and(Value::is_null) && OTHER.contains(&key.as_str());
        if own != other && !left_out && !newer && !(OTHER[..4].contains(&key.as_str())) {
            all.push(format!("{name}: {key} is {own} here, {other} there"));
        }
    }
    all
}

#[test]
fn every_field_is_answered_as_dockerd_does() {
    let Some(dockerd) = Dockerd::start() else { return };
    let engine = TempEngine::start();
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).unwrap();
    let compare = |cases: &[Value]| -> Vec<String> {
        let (mut here, mut there) = (engine.http(), dockerd.http());
        let one = |case| {
            let (theirs, ours) = (create_and_keep(&mut there, "v1.41", case), create(&mut here, "v1.41", case));
            differences(case, &theirs, &ours)
        };
        cases.iter().flat_map(one).collect()
    };
    // Both sync much to disk, and need not wait for each other.
    let all: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = cases.chunks(cases.len() / 8).map(|part| scope.spawn(|| compare(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    drop(dockerd);
    engine.finish();
    assert!(all.is_empty(), "{} of {} cases differ:\n{}", all.len(), cases.len(), all.join("\n"));
}
