//! Ending containers: politely, after patience, by force.

use wharf_testkit::{TempEngine, wait};

fn ready(engine: &TempEngine, container: &str) {
    wait::until("the container is ready", || engine.cli(&["logs", container]).stdout.contains("ready").then_some(()));
}

#[test]
fn a_handler_of_sigterm_has_its_say() {
    let engine = TempEngine::start();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    ready(&engine, "box");
    engine.cli(&["stop", "box"]).ok();
    assert_eq!(engine.get("/containers/box/json")["State"]["ExitCode"], 7);
    engine.finish();
}

#[test]
fn one_that_does_not_listen_is_killed() {
    let engine = TempEngine::start();
    engine
        .cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", "trap '' TERM; echo ready; sleep 1000"])
        .ok();
    ready(&engine, "box");
    engine.cli(&["stop", "-t", "1", "box"]).ok();
    let state = &engine.get("/containers/box/json")["State"];
    assert_eq!(state["ExitCode"], 137);
    assert_eq!(state["OOMKilled"], false);
    engine.finish();
}

#[test]
fn the_stop_signal_can_be_another() {
    let engine = TempEngine::start();
    let script = "trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done";
    engine.cli(&["run", "-d", "--name", "box", "--stop-signal", "USR1", "busybox:test", "sh", "-c", script]).ok();
    ready(&engine, "box");
    engine.cli(&["stop", "box"]).ok();
    assert_eq!(engine.get("/containers/box/json")["State"]["ExitCode"], 8);
    engine.finish();
}

#[test]
fn a_running_one_is_removed_only_by_force() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    assert_eq!(engine.http().delete("/containers/box").unwrap().status, 409);
    engine.cli(&["rm", "box"]).exits(1);
    engine.cli(&["rm", "-f", "box"]).ok();
    assert_eq!(engine.http().get("/containers/box/json").unwrap().status, 404);
    engine.finish();
}

#[test]
fn start_restart_and_repeated_requests() {
    let engine = TempEngine::start();
    engine.cli(&["create", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["start", "box"]).ok();
    assert_eq!(engine.http().post("/containers/box/start", &serde_json::Value::Null).unwrap().status, 304);
    let before = engine.get("/containers/box/json")["State"]["Pid"].clone();
    engine.cli(&["restart", "-t", "0", "box"]).ok();
    assert_ne!(engine.get("/containers/box/json")["State"]["Pid"], before);
    engine.cli(&["kill", "box"]).ok();
    engine.cli(&["wait", "box"]).ok();
    assert_eq!(engine.http().post("/containers/box/stop", &serde_json::Value::Null).unwrap().status, 304);
    engine.finish();
}

#[test]
fn children_go_with_the_first_process() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "sleep 1000 & sleep 1000 & exit 0"]).ok();
    engine.finish();
}

#[test]
fn greedy_many_at_once() {
    let engine = TempEngine::start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
                }
            });
        }
    });
    engine.finish();
}

#[test]
fn a_paused_one_dies_of_kill_and_of_force() {
    let engine = TempEngine::start();
    for order in [&["kill", "box"][..], &["rm", "-f", "box"]] {
        engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
        engine.cli(&["pause", "box"]).ok();
        engine.cli(order).ok();
        if order[0] == "kill" {
            assert_eq!(engine.get("/containers/box/json")["State"]["ExitCode"], 137);
            engine.cli(&["rm", "box"]).ok();
        }
    }
    engine.finish();
}

#[test]
fn after_a_kill_it_has_ended_and_can_start_again() {
    let engine = TempEngine::start();
    engine.cli(&["create", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    for _ in 0..5 {
        engine.cli(&["start", "box"]).ok();
        engine.cli(&["kill", "box"]).ok();
        assert_eq!(engine.get("/containers/box/json")["State"]["Status"], "exited");
    }
    engine.finish();
}

#[test]
fn a_monitor_that_is_stopped_holds_up_no_removal() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let first = engine.get("/containers/box/json")["State"]["Pid"].to_string();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::STOP).unwrap();
    assert_eq!(engine.get("/containers/box/json")["State"]["Running"], true);
    engine.cli(&["rm", "-f", "box"]).ok();
    engine.finish();
}
