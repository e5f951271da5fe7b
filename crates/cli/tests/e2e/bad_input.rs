//! Bad input: for each a clear sentence, a hint, Docker's exit code and HTTP status, and nothing left behind.

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};
use wharf_testkit::{Options, Output, TempEngine};

/// What the person must get: a sentence of one line that names the thing, and a hint.
fn clear(output: &Output, names: &str) {
    let error = &output.stderr;
    assert!(error.contains(names), "{names:?} is not named in: {error}");
    assert!(error.to_lowercase().contains("hint:"), "no hint in: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

fn create(engine: &TempEngine, config: &Value) -> (u16, Value) {
    let answer = engine.http().post("/containers/create", config).unwrap();
    (answer.status, answer.json())
}

#[test]
fn unknown_image() {
    let engine = TempEngine::start();
    clear(&engine.cli(&["run", "--rm", "--pull", "never", "no-such-image", "true"]).exits(125), "no-such-image");
    let (status, body) = create(&engine, &json!({"Image": "no-such-image"}));
    assert_eq!(status, 404);
    assert!(body["message"].as_str().unwrap().contains("No such image"), "{body}");
    engine.finish();
}

#[test]
fn invalid_image_name() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "UPPER CASE", "true"]).exits(125);
    assert!(output.stderr.contains("invalid reference format"), "{}", output.stderr);
    assert_eq!(create(&engine, &json!({"Image": "UPPER CASE"})).0, 400);
    engine.finish();
}

#[test]
fn command_not_found_and_not_executable() {
    let engine = TempEngine::start();
    for (program, code) in [("no-such-program", 127), ("/etc/not-a-program", 126)] {
        clear(&engine.cli(&["run", "--rm", "busybox:test", program]).exits(code), program);
        let (_, body) = create(&engine, &json!({"Image": "busybox:test", "Cmd": [program]}));
        let path = format!("/containers/{}/start", body["Id"].as_str().unwrap());
        assert_eq!(engine.http().post(&path, &Value::Null).unwrap().status, 400);
    }
    engine.finish();
}

#[test]
fn bad_user() {
    let engine = TempEngine::start();
    clear(&engine.cli(&["run", "--rm", "-u", "nobody-knows", "busybox:test", "true"]).exits(125), "nobody-knows");
    engine.finish();
}

#[test]
fn bad_mount() {
    let engine = TempEngine::start();
    let missing = engine.scratch().join("missing").display().to_string();
    let mount = format!("type=bind,source={missing},target=/x");
    clear(&engine.cli(&["run", "--rm", "--mount", &mount, "busybox:test", "true"]).exits(125), &missing);
    let config = json!({"Image": "busybox:test",
        "HostConfig": {"Mounts": [{"Type": "bind", "Source": missing, "Target": "/x"}]}});
    assert_eq!(create(&engine, &config).0, 400);
    engine.cli(&["run", "--rm", "-v", "/tmp:relative", "busybox:test", "true"]).exits(125);
    engine.finish();
}

#[test]
fn port_in_use() {
    let engine = TempEngine::start();
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = engine.cli(&["run", "--rm", "-p", &format!("{port}:80"), "busybox:test", "true"]).exits(125);
    clear(&output, &port);
    engine.cli(&["run", "-d", "--name", "one", "-p", "127.0.0.1::80", "busybox:test", "sleep", "1000"]).ok();
    let taken = format!("127.0.0.1:{}:80", crate::network::published(&engine, "one"));
    clear(&engine.cli(&["run", "--rm", "-p", &taken, "busybox:test", "true"]).exits(125), "port is already allocated");
    engine.finish();
}

#[test]
fn limits_that_make_no_sense() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--rm", "--memory", "1k", "busybox:test", "true"]).exits(125);
    engine.cli(&["run", "--rm", "--memory", "much", "busybox:test", "true"]).exits(125);
    engine.cli(&["run", "--rm", "--cpus", "1000", "busybox:test", "true"]).exits(125);
    assert_eq!(create(&engine, &json!({"Image": "busybox:test", "HostConfig": {"Memory": 1024}})).0, 400);
    engine.finish();
}

#[test]
fn unknown_container_and_route() {
    let engine = TempEngine::start();
    for command in ["start", "stop", "kill", "logs", "inspect", "rm", "wait", "attach"] {
        let output = engine.cli(&[command, "no-such-box"]).exits(1);
        assert!(output.stderr.contains("no-such-box"), "{command}: {}", output.stderr);
    }
    assert_eq!(engine.http().get("/containers/no-such-box/json").unwrap().status, 404);
    assert_eq!(engine.http().get("/no/such/page").unwrap().status, 404);
    engine.finish();
}

#[test]
fn requests_that_are_no_json() {
    let engine = TempEngine::start();
    let mut http = engine.http();
    let broken = http.request("POST", "/containers/create", b"{\"Image\": ", "application/json").unwrap();
    assert_eq!(broken.status, 400);
    assert!(broken.json()["message"].is_string(), "{}", broken.text());
    let wrong_type = http.request("POST", "/containers/create", b"{\"Image\": 3}", "application/json").unwrap();
    assert_eq!(wrong_type.status, 400);
    engine.finish();
}

#[test]
fn no_permission() {
    let engine = TempEngine::start();
    let mut command = Command::new("setpriv");
    let copy = engine.scratch().join("wharf");
    std::fs::copy(wharf_testkit::engine::program(), &copy).unwrap();
    for folder in copy.ancestors().skip(1).take(2) {
        open_to_all(folder);
    }
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
    let output = Output::of(command.args(["--host", &engine.host(), "ps"]), b"");
    assert_ne!(output.code, 0);
    clear(&output, "permission denied");
    engine.finish();
}

#[test]
fn an_engine_without_root() {
    let engine = TempEngine::start();
    let copy = engine.scratch().join("wharf");
    std::fs::copy(wharf_testkit::engine::program(), &copy).unwrap();
    for folder in copy.ancestors().skip(1).take(2) {
        open_to_all(folder);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy).arg("engine");
    command.args([
        "--root",
        "/tmp/wharf-nobody/root",
        "--run",
        "/tmp/wharf-nobody/run",
        "--host",
        "unix:///tmp/wharf-nobody/s",
    ]);
    let output = Output::of(&mut command, b"");
    assert_ne!(output.code, 0);
    clear(&output, "root");
    assert!(!std::path::Path::new("/tmp/wharf-nobody").exists());
    engine.finish();
}

fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn socket_in_use() {
    let engine = TempEngine::start();
    let scratch = engine.scratch();
    let mut second = Command::new(wharf_testkit::engine::program());
    second.arg("engine").arg("--root").arg(scratch.join("root")).arg("--run").arg(scratch.join("run"));
    let output = Output::of(second.args(["--host", &engine.host()]), b"");
    assert_ne!(output.code, 0);
    clear(&output, &engine.socket().display().to_string());
    engine.finish();
}

#[test]
fn no_engine_there() {
    let mut command = Command::new(wharf_testkit::engine::program());
    let output = Output::of(command.args(["--host", "unix:///nonexistent/wharf.sock", "ps"]), b"");
    assert_ne!(output.code, 0);
    clear(&output, "/nonexistent/wharf.sock");
}

#[test]
fn disk_full() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        |arguments: &[&str]| Output::of(Command::new(arguments[0]).args(&arguments[1..]).arg(folder.path()), b"").ok();
    mount(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
    let below = Some(folder.path().to_owned());
    let engine = TempEngine::start_with(Options { below, without_image: true, ..Options::default() });
    let large = wharf_testkit::golden::Archive::new().file("large", 0o644, &noise(16 << 20)).finish();
    let output = engine.cli_stdin(&["import", "-", "large:x"], &large).exits(1);
    clear(&output, "No space left on device");
    assert_eq!(engine.cli(&["images", "-aq"]).ok().stdout, "");
    engine.finish();
    mount(&["umount"]);
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
