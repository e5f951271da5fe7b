//! The engine as a service: `daemon.json`, live changes, metrics, dumps, authorisation plugins, a new engine's takeover.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wharf_testkit::{Options, Output, TempEngine, wait};

fn signal(engine: &TempEngine, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(engine.pid()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn the_file_is_read_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    let write = |document: Value| std::fs::write(&file, document.to_string()).unwrap();
    write(json!({"labels": ["a=b"], "log-opts": {"max-size": "1m"}, "no-new-privileges": true}));
    let arguments = vec!["--config-file".to_owned(), file.display().to_string()];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    assert_eq!(engine.get("/info")["Labels"], json!(["a=b"]));
    let script = ["run", "--name", "box", "busybox:test", "grep", "NoNewPrivs", "/proc/self/status"];
    assert_eq!(engine.cli(&script).ok().stdout.trim_end(), "NoNewPrivs:\t1");
    let host = &engine.get("/containers/box/json")["HostConfig"];
    assert_eq!(host["LogConfig"]["Config"]["max-size"], "1m");
    write(json!({"labels": ["a=c", "d=e"], "debug": true}));
    signal(&engine, Signal::HUP);
    wait::until("the labels have changed", || (engine.get("/info")["Labels"] == json!(["a=c", "d=e"])).then_some(()));
    assert_eq!(engine.get("/info")["Debug"], true);
    // A file that makes no sense changes nothing, and the engine goes on.
    write(json!({"nonsense": 1}));
    signal(&engine, Signal::HUP);
    signal(&engine, Signal::USR1);
    let dump = wait::until("the dump is there", || {
        let mut entries = std::fs::read_dir(engine.run_folder()).unwrap().filter_map(Result::ok);
        let entry = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("engine-dump-"))?;
        serde_json::from_slice::<Value>(&std::fs::read(entry.path()).ok()?).ok()
    });
    assert_eq!(dump["containers"][0]["Names"], json!(["/box"]), "{dump}");
    assert_eq!(engine.get("/info")["Labels"], json!(["a=c", "d=e"]));
    engine.cli(&["rm", "box"]).ok();
    engine.finish();
}

#[test]
fn validation_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    let validate = |document: &str| {
        std::fs::write(&file, document).unwrap();
        let mut command = Command::new(wharf_testkit::engine::program());
        Output::of(command.args(["engine", "--validate", "--config-file"]).arg(&file), b"")
    };
    assert!(validate(r#"{"debug": true, "live-restore": true}"#).ok().stderr.contains("configuration OK"));
    for (document, words) in [
        (r#"{"nonsense": 1}"#, "don't match any configuration option: nonsense"),
        ("{", "unable to configure the Docker daemon with file"),
        (r#"{"labels": ["x"]}"#, "bad attribute format: x"),
        (r#"{"log-format": "xml"}"#, "xml"),
        (r#"{"tls": true, "tlscert": "/nonexistent"}"#, "/nonexistent"),
    ] {
        let refused = validate(document);
        assert!(refused.code != 0 && refused.stderr.contains(words), "{document}: {}", refused.stderr);
    }
}

#[test]
fn metrics_are_served() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = vec![format!("--metrics-addr=127.0.0.1:{port}")];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    engine.cli(&["create", "--name", "box", "busybox:test"]).ok();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("engine_daemon_container_states_containers{state=\"stopped\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE engine_daemon_engine_info gauge\n"), "{text}");
    engine.cli(&["rm", "box"]).ok();
    engine.finish();
}

/// A plugin that keeps what it is asked and refuses containers that are privileged, wherever the request says so.
struct Guard {
    asked: std::sync::mpsc::Receiver<Value>,
    socket: std::path::PathBuf,
    ends: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Guard {
    /// Goes, and gives what it was asked.
    fn end(self) -> Vec<Value> {
        self.ends.store(true, std::sync::atomic::Ordering::Release);
        drop(UnixStream::connect(&self.socket).unwrap());
        self.thread.join().unwrap();
        std::fs::remove_dir_all(self.socket.parent().unwrap()).unwrap();
        self.asked.try_iter().collect()
    }
}

fn guard(folder: &Path) -> Guard {
    std::fs::create_dir_all(folder).unwrap();
    let socket = folder.join("guard.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (sender, asked) = std::sync::mpsc::channel();
    let ends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let end = std::sync::Arc::clone(&ends);
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            if end.load(std::sync::atomic::Ordering::Acquire) {
                return;
            }
            let mut stream = stream.unwrap();
            let (path, document) = read_question(&mut stream);
            let body = document["RequestBody"].as_str().unwrap_or_default();
            let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let allow = body["HostConfig"]["Privileged"] != true;
            let verdict = json!({"Allow": allow, "Msg": "nothing privileged here"}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", verdict.len());
            stream.write_all((head + &verdict).as_bytes()).unwrap();
            // The test may have ended.
            drop(sender.send(json!({"path": path, "asked": document})));
        }
    });
    Guard { asked, socket, ends, thread }
}

fn read_question(stream: &mut UnixStream) -> (String, Value) {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            return (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

#[test]
fn a_plugin_decides_on_what_is_really_run() {
    let below = tempfile::tempdir().unwrap();
    let file = below.path().join("daemon.json");
    std::fs::write(&file, r#"{"authorization-plugins": ["guard"]}"#).unwrap();
    let arguments = vec!["--config-file".to_owned(), file.display().to_string()];
    // Its socket must be there before the first request; the engine's own folder is only known once it is started.
    let options =
        Options { arguments, below: Some(below.path().to_owned()), without_image: true, ..Options::default() };
    let started = std::thread::spawn({
        let below = below.path().to_owned();
        move || {
            let run = wait::until("the engine's folder is there", || {
                let mut entries = std::fs::read_dir(&below).unwrap().filter_map(Result::ok);
                entries.find(|entry| entry.path().join("run").is_dir()).map(|entry| entry.path().join("run"))
            });
            guard(&run.join("plugins"))
        }
    });
    let mut engine = TempEngine::start_with(options);
    let guard = started.join().unwrap();
    engine.import("busybox:test", wharf_testkit::golden::busybox_rootfs(), &[]);
    engine.cli(&["create", "--name", "box", "busybox:test", "true"]).ok();
    let refused = engine.cli(&["create", "--privileged", "busybox:test", "true"]).exits(1).stderr;
    assert!(refused.contains("authorization denied by plugin guard: nothing privileged here"), "{refused}");
    // Neither another spelling of the path nor of the body's type or length gets past it.
    let body = br#"{"Image": "busybox:test", "HostConfig": {"Privileged": true}}"#;
    for (path, kind) in [
        ("//containers//create", "application/json"),
        ("/v1.44/containers/%63reate", "application/json; charset=utf-8"),
        ("/containers/create", "text/plain"),
    ] {
        let answer = engine.http().request("POST", path, body, kind).unwrap();
        assert!(answer.status == 403 || answer.status == 400, "{path} {kind}: {}", answer.status);
    }
    assert_eq!(engine.get("/containers/json?all=1").as_array().map(Vec::len), Some(1));
    engine.cli(&["rm", "box"]).ok();
    std::fs::write(&file, "{}").unwrap();
    engine.restart();
    let all = guard.end();
    let of = |path: &str| all.iter().filter(|question| question["path"] == path).count();
    assert!(of("/AuthZPlugin.AuthZReq") > 0 && of("/AuthZPlugin.AuthZRes") > 0, "{all:?}");
    assert!(all.iter().any(|question| question["asked"]["RequestURI"] == "/v1.44/containers/create"), "{all:?}");
    engine.finish();
}

/// An engine of yesterday has written these rows and started these monitors; today's takes them over, and the other way
/// round. Both are the same program here, but under another name and from another file.
#[test]
fn another_engine_binary_takes_over() {
    let mut engine = TempEngine::start();
    engine
        .cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", "while :; do echo tick; sleep 0.1; done"])
        .ok();
    let pid = engine.get("/containers/box/json")["State"]["Pid"].clone();
    let other = engine.scratch().join("wharf-next");
    std::fs::copy(wharf_testkit::engine::program(), &other).unwrap();
    engine.stop();
    engine.use_program(Some(other));
    engine.restart();
    assert_eq!(engine.get("/containers/box/json")["State"]["Pid"], pid);
    engine.cli(&["exec", "box", "true"]).ok();
    engine.stop();
    engine.use_program(None);
    engine.restart();
    assert_eq!(engine.get("/containers/box/json")["State"]["Pid"], pid);
    assert!(engine.cli(&["logs", "box"]).ok().stdout.lines().count() > 1);
    engine.cli(&["rm", "-f", "box"]).ok();
    engine.finish();
}
