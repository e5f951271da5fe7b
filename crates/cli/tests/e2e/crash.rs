//! The engine may die at any time (`kill -9`), and nobody else notices.

use std::io::{BufRead, BufReader, Read, Write};

use serde_json::{Value, json};
use wharf_testkit::{TempEngine, wait};

const COUNTING: &str = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done";

fn counted(text: &str) -> usize {
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("line {number}"), "a gap in the log");
    }
    text.lines().count()
}

#[test]
fn containers_go_on_and_log_without_a_gap() {
    let mut engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", COUNTING]).ok();
    let before = engine.get("/containers/box/json");
    let log = before["LogPath"].as_str().unwrap().to_owned();
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    engine.kill9();
    let at_death = lines();
    wait::until("lines are logged while no engine runs", || (lines() > at_death + 20).then_some(()));
    engine.restart();
    let after = engine.get("/containers/box/json");
    assert_eq!(after["State"]["Pid"], before["State"]["Pid"]);
    assert_eq!(after["State"]["StartedAt"], before["State"]["StartedAt"]);
    assert!(counted(&engine.cli(&["logs", "box"]).ok().stdout) > at_death);
    assert_eq!(engine.cli(&["exec", "box", "echo", "still here"]).ok().line(), "still here");
    engine.cli(&["stop", "-t", "0", "box"]).ok();
    engine.finish();
}

#[test]
fn what_ended_meanwhile_is_known() {
    let mut engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", "sleep 0.5; exit 23"]).ok();
    engine.cli(&["run", "-d", "--rm", "--name", "gone", "busybox:test", "sleep", "0.5"]).ok();
    let pids = ["box", "gone"].map(|name| engine.get(&format!("/containers/{name}/json"))["State"]["Pid"].to_string());
    engine.kill9();
    wait::until("both have ended", || {
        pids.iter().all(|pid| !std::path::Path::new("/proc").join(pid).exists()).then_some(())
    });
    engine.restart();
    wait::until("the end is known", || {
        let state = &engine.get("/containers/box/json")["State"];
        (state["Status"] == "exited" && state["ExitCode"] == 23).then_some(())
    });
    wait::until("--rm is kept", || (engine.http().get("/containers/gone/json").unwrap().status == 404).then_some(()));
    engine.finish();
}

#[test]
fn an_attached_stream_goes_on() {
    let mut engine = TempEngine::start();
    let config = json!({"Image": "busybox:test", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true, "Tty": true});
    engine.http().post("/containers/create?name=box", &config).unwrap().ok();
    let path = "/containers/box/attach?stream=1&stdin=1&stdout=1&stderr=1";
    let mut stream = engine.http().hijack(path, &Value::Null).unwrap();
    engine.http().post("/containers/box/start", &Value::Null).unwrap().ok();
    let mut line = String::new();
    stream.get_mut().write_all(b"before\n").unwrap();
    stream.read_line(&mut line).unwrap();
    engine.kill9();
    line.clear();
    stream.read_line(&mut line).unwrap();
    stream.get_mut().write_all(b"after\n").unwrap();
    line.clear();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), "after");
    engine.restart();
    engine.cli(&["kill", "box"]).ok();
    let mut rest = String::new();
    BufReader::read_to_string(&mut stream, &mut rest).unwrap();
    engine.finish();
}

#[test]
fn published_ports_answer_without_an_engine() {
    let mut engine = TempEngine::start();
    let arguments =
        ["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox:test", "httpd", "-f", "-h", "/var/www"];
    engine.cli(&arguments).ok();
    let port = crate::network::published(&engine, "web");
    crate::network::fetch_until_there("127.0.0.1", port);
    engine.kill9();
    crate::network::fetch_until_there("127.0.0.1", port);
    engine.restart();
    crate::network::fetch_until_there("127.0.0.1", port);
    engine.finish();
}

#[test]
fn a_death_in_mid_start_leaves_nothing_half_made() {
    let mut engine = TempEngine::start();
    for delay in [1, 4, 9, 16, 25] {
        let mut client = engine.cli_command(&["run", "--rm", "busybox:test", "true"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        engine.kill9();
        client.wait().unwrap();
        engine.restart();
    }
    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
    engine.finish();
}

#[test]
fn two_engines_do_not_share_a_root() {
    let engine = TempEngine::start();
    let mut second = std::process::Command::new(wharf_testkit::engine::program());
    let socket = engine.scratch().join("second");
    second.arg("engine").arg("--root").arg(engine.root()).arg("--run").arg(engine.run_folder());
    second.arg("--host").arg(format!("unix://{}", socket.display()));
    let output = wharf_testkit::Output::of(&mut second, b"");
    assert_ne!(output.code, 0);
    assert!(!output.stderr.is_empty());
    engine.get("/_ping");
    engine.finish();
}
