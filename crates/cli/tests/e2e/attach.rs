//! Attaching in all its ways: by WebSocket, with what was written before, several clients, processes seen from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use wharf_testkit::{TempEngine, wait};

fn make(engine: &TempEngine, extra: &Value) {
    let mut body = json!({"Image": "busybox:test", "Cmd": ["cat"], "OpenStdin": true});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    engine.http().post("/containers/create?name=box", &body).unwrap().ok();
    engine.http().post("/containers/box/start", &Value::Null).unwrap().ok();
}

#[test]
fn a_websocket_carries_the_streams() {
    let engine = TempEngine::start();
    make(&engine, &json!({"StdinOnce": true}));
    let mut client = UnixStream::connect(engine.socket()).unwrap();
    let request = "GET /v1.44/containers/box/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The answer that RFC 6455 gives for this key.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.write_all(&[0x81, 0x86, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o', b'\n']).unwrap();
    let mut message = [0; 8];
    reader.read_exact(&mut message).unwrap();
    assert_eq!(&message, b"\x82\x06hello\n");
    // Closing is the end of standard input, with which cat ends.
    client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [0x88, 2, 3, 0xe8]);
    wait::until("cat ends", || (engine.get("/containers/box/json")["State"]["Running"] == false).then_some(()));
    engine.finish();
}

#[test]
fn a_client_gets_the_past_and_then_the_present() {
    let engine = TempEngine::start();
    make(&engine, &json!({"Tty": true, "Cmd": ["sh", "-c", "echo before; read x; echo after"]}));
    wait::until("it wrote", || engine.cli(&["logs", "box"]).ok().stdout.contains("before").then_some(()));
    let path = "/containers/box/attach?logs=1&stream=1&stdin=1&stdout=1";
    let mut clients = [0, 1].map(|_| engine.http().hijack(path, &Value::Null).unwrap());
    for client in &mut clients {
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), "before");
    }
    let attached = ["events", "--since", "1h", "--until", "0s", "-f", "event=attach"];
    wait::until("both are attached", || (engine.cli(&attached).ok().stdout.lines().count() == 2).then_some(()));
    clients[0].get_mut().write_all(b"\n").unwrap();
    for client in &mut clients {
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.trim(), "after");
    }
    engine.finish();
}

#[test]
fn processes_are_shown_as_ps_shows_them() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let pid = engine.get("/containers/box/json")["State"]["Pid"].to_string();
    let full = engine.get("/containers/box/top");
    assert_eq!(full["Titles"].as_array().unwrap().len(), 8);
    assert_eq!((full["Processes"][0][1].as_str(), full["Processes"][0][7].as_str()), (Some(&*pid), Some("sleep 1000")));
    let bsd = engine.get("/containers/box/top?ps_args=aux");
    assert_eq!((bsd["Titles"][10].as_str(), bsd["Processes"][0][10].as_str()), (Some("COMMAND"), Some("sleep 1000")));
    let own = engine.cli(&["top", "box", "-o", "pid,comm"]).ok().stdout;
    assert_eq!(own.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), [&*pid, "sleep"]);
    assert_eq!(engine.http().get("/containers/box/top?ps_args=-o%20comm").unwrap().status, 400);
    engine.finish();
}

#[test]
fn orphans_are_reaped_by_init() {
    let engine = TempEngine::start();
    // Orphans of a subshell fall to the first process, which does not wait for them.
    let script = "i=0; while [ $i -lt 300 ]; do (true & true & true &) ; i=$((i+1)); done; echo done; exec sleep 1000";
    engine.cli(&["run", "-d", "--init", "--name", "reaped", "busybox:test", "sh", "-c", script]).ok();
    wait::until("all were born", || engine.cli(&["logs", "reaped"]).ok().stdout.contains("done").then_some(()));
    wait::until("none is left", || {
        let pids = engine.get("/containers/reaped/top")["Processes"].as_array().map_or(0, Vec::len);
        (pids <= 2).then_some(())
    });
    engine.cli(&["exec", "reaped", "true"]).ok();
    engine.finish();
}
