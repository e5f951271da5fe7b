//! Volumes and mounts: what they show, what fills them, when they are mounted, and that none is ever lost.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use wharf_testkit::TempEngine;

fn mounted(engine: &TempEngine, name: &str) -> bool {
    let place = format!("{}/volumes/{name}/_data ", engine.root().display());
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&place)
}

#[test]
fn volumes_outlive_everything_that_did_not_name_them() {
    let mut engine = TempEngine::start();
    engine.cli(&["volume", "create", "--label", "tier=data", "kept"]).ok();
    engine
        .cli(&["run", "--rm", "-v", "kept:/v", "-v", "/anonymous", "busybox:test", "sh", "-c", "echo here > /v/x"])
        .ok();
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout, "kept\n");
    engine.cli(&["run", "-d", "--name", "first", "-v", "/shared", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["run", "-d", "--name", "second", "--volumes-from", "first:ro", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["exec", "first", "sh", "-c", "echo both > /shared/x"]).ok();
    assert_ne!(engine.cli(&["exec", "second", "touch", "/shared/y"]).code, 0);
    engine.cli(&["rm", "-fv", "first"]).ok();
    assert_eq!(engine.cli(&["exec", "second", "cat", "/shared/x"]).ok().stdout, "both\n");
    engine.cli(&["volume", "prune", "-f"]).ok();
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout.lines().count(), 2);
    engine.kill9();
    engine.restart();
    assert_eq!(engine.cli(&["run", "--rm", "-v", "kept:/v", "busybox:test", "cat", "/v/x"]).ok().stdout, "here\n");
    let refused = engine.cli(&[
        "volume",
        "rm",
        engine.cli(&["volume", "ls", "-q"]).ok().stdout.lines().find(|name| *name != "kept").unwrap(),
    ]);
    assert!(refused.stderr.contains("volume is in use"), "{}", refused.stderr);
    engine.cli(&["rm", "-f", "second"]).ok();
    engine.cli(&["volume", "prune", "-f"]).ok();
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout, "kept\n");
    engine.cli(&["volume", "prune", "-af", "--filter", "label=tier=other"]).ok();
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout, "kept\n");
    engine.cli(&["volume", "prune", "-af"]).ok();
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout, "");
    engine.finish();
}

#[test]
fn a_part_of_a_volume_or_of_an_image_can_be_mounted() {
    let engine = TempEngine::start();
    let fill = "mkdir -p /v/a/b; echo deep > /v/a/b/x; ln -s /etc /v/out";
    engine.cli(&["run", "--rm", "-v", "data:/v", "busybox:test", "sh", "-c", fill]).ok();
    let part = |subpath: &str| format!("type=volume,src=data,dst=/p,volume-subpath={subpath}");
    let read = |mount: &str| engine.cli(&["run", "--rm", "--mount", mount, "busybox:test", "cat", "/p/x"]);
    assert_eq!(read(&part("a/b")).ok().stdout, "deep\n");
    assert_ne!(read(&part("../../x")).code, 0);
    assert_ne!(read(&part("out")).code, 0, "a link does not lead to the host");
    let image = ["run", "--rm", "--mount", "type=image,src=busybox:test,dst=/i", "busybox:test"];
    engine.cli(&[&image[..], &["ls", "/i/bin/busybox"]].concat()).ok();
    assert_ne!(engine.cli(&[&image[..], &["touch", "/i/x"]].concat()).code, 0);
    let bin = ["run", "--rm", "--mount", "type=image,src=busybox:test,dst=/i,image-subpath=bin", "busybox:test"];
    engine.cli(&[&bin[..], &["ls", "/i/busybox"]].concat()).ok();
    let nothing = engine.cli(&["create", "--mount", "type=image,src=nothing:here,dst=/i", "busybox:test"]);
    assert_ne!(nothing.code, 0);
    engine.cli(&["volume", "rm", "data"]).ok();
    engine.finish();
}

#[test]
fn file_systems_are_mounted_while_they_are_used() {
    let mut engine = TempEngine::start();
    let tmpfs =
        ["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,nosuid", "ram"];
    engine.cli(&tmpfs).ok();
    assert!(!mounted(&engine, "ram"));
    for name in ["one", "two"] {
        engine.cli(&["run", "-d", "--name", name, "-v", "ram:/v", "busybox:test", "sleep", "1000"]).ok();
    }
    assert!(mounted(&engine, "ram"));
    engine.cli(&["exec", "one", "sh", "-c", "echo shared > /v/x"]).ok();
    engine.kill9();
    engine.restart();
    assert_eq!(engine.cli(&["exec", "two", "cat", "/v/x"]).ok().stdout, "shared\n");
    assert_ne!(engine.cli(&["exec", "two", "dd", "if=/dev/zero", "of=/v/big", "bs=1M", "count=3"]).code, 0);
    engine.cli(&["rm", "-f", "one"]).ok();
    assert!(mounted(&engine, "ram"));
    engine.cli(&["rm", "-f", "two"]).ok();
    assert!(!mounted(&engine, "ram"));
    let folder = engine.scratch().join("folder");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("x"), "host\n").unwrap();
    let device = format!("device={}", folder.display());
    engine.cli(&["volume", "create", "--opt", "type=none", "--opt", &device, "--opt", "o=bind", "bound"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "-v", "bound:/v", "busybox:test", "cat", "/v/x"]).ok().stdout, "host\n");
    engine.cli(&["volume", "rm", "bound", "ram"]).ok();
    assert!(folder.join("x").exists(), "what was mounted is not the volume's to delete");
    let bad = engine.cli(&["volume", "create", "--opt", "what=ever"]);
    assert!(bad.stderr.contains("invalid option: \"what\""), "{}", bad.stderr);
    engine.finish();
}

/// A volume driver over Docker's plugin protocol, whose volumes are folders.
fn plugin(engine: &TempEngine) -> (Arc<Mutex<Vec<String>>>, std::thread::JoinHandle<()>) {
    let sockets = engine.run_folder().join("plugins");
    std::fs::create_dir_all(&sockets).unwrap();
    let listener = UnixListener::bind(sockets.join("folders.sock")).unwrap();
    let (folder, calls) = (engine.scratch().join("folders"), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&calls);
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (path, body) = request(&mut stream);
            if path == "/stop" {
                return;
            }
            seen.lock().unwrap().push(path.clone());
            let name = body["Name"].as_str().unwrap_or_default();
            let place = folder.join(name);
            let answer = match path.as_str() {
                "/Plugin.Activate" => r#"{"Implements":["VolumeDriver"]}"#.to_owned(),
                "/VolumeDriver.Create" => {
                    std::fs::create_dir_all(&place).unwrap();
                    "{}".to_owned()
                }
                "/VolumeDriver.Remove" => {
                    std::fs::remove_dir_all(&place).unwrap();
                    "{}".to_owned()
                }
                "/VolumeDriver.Get" if !place.exists() => r#"{"Err":"no such volume"}"#.to_owned(),
                "/VolumeDriver.Get" => {
                    format!(
                        r#"{{"Volume":{{"Name":"{name}","Mountpoint":"{}","Status":{{"kind":"folder"}}}}}}"#,
                        place.display()
                    )
                }
                "/VolumeDriver.Mount" => format!(r#"{{"Mountpoint":"{}"}}"#, place.display()),
                "/VolumeDriver.Capabilities" => r#"{"Capabilities":{"Scope":"global"}}"#.to_owned(),
                _ => "{}".to_owned(),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.write_all((head + &answer).as_bytes()).unwrap();
        }
    });
    (calls, thread)
}

fn request(stream: &mut impl Read) -> (String, serde_json::Value) {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    (path, serde_json::from_slice(&body).unwrap_or_default())
}

#[test]
fn plugins_provide_volumes() {
    let engine = TempEngine::start();
    let (calls, thread) = plugin(&engine);
    engine.cli(&["volume", "create", "-d", "folders", "far"]).ok();
    let known = engine.get("/volumes/far");
    assert_eq!((known["Driver"].as_str(), known["Scope"].as_str()), (Some("folders"), Some("global")));
    assert_eq!(known["Status"]["kind"], "folder");
    engine.cli(&["run", "--rm", "-v", "far:/v", "busybox:test", "sh", "-c", "echo far > /v/x"]).ok();
    assert_eq!(std::fs::read_to_string(engine.scratch().join("folders/far/x")).unwrap(), "far\n");
    let count = |path: &str| calls.lock().unwrap().iter().filter(|call| *call == path).count();
    assert_eq!((count("/VolumeDriver.Mount"), count("/VolumeDriver.Unmount")), (1, 1));
    engine.cli(&["volume", "rm", "far"]).ok();
    assert_eq!(count("/VolumeDriver.Remove"), 1);
    let missing = engine.cli(&["volume", "create", "-d", "nobody", "xx"]);
    assert!(missing.stderr.contains("plugin \"nobody\" not found"), "{}", missing.stderr);
    let mut last = std::os::unix::net::UnixStream::connect(engine.run_folder().join("plugins/folders.sock")).unwrap();
    last.write_all(b"POST /stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap();
    thread.join().unwrap();
    engine.finish();
}
