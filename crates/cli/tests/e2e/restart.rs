//! Restart policies, and containers whose monitors do not answer.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wharf_testkit::{TempEngine, wait};

fn inspect(engine: &TempEngine) -> Value {
    engine.get("/containers/box/json")
}

#[test]
fn between_two_runs_it_is_restarting_and_the_count_outlives_the_engine() {
    let mut engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "--restart", "always", "busybox:test", "false"]).ok();
    wait::until("it waits for its third run", || {
        let now = inspect(&engine);
        (now["State"]["Status"] == "restarting" && now["RestartCount"].as_i64() >= Some(2)).then_some(())
    });
    engine.kill9();
    engine.restart();
    wait::until("it goes on where it was", || {
        let now = inspect(&engine);
        (now["State"]["Restarting"] == true && now["RestartCount"].as_i64() >= Some(3)).then_some(())
    });
    wait::until("ps says so", || engine.cli(&["ps"]).ok().stdout.contains("Restarting (1)").then_some(()));
    assert_eq!(engine.cli(&["rm", "box"]).code, 1);
    engine.cli(&["stop", "-t", "1", "box"]).ok();
    let now = inspect(&engine);
    assert_eq!((now["State"]["Status"].as_str(), now["State"]["Restarting"].as_bool()), (Some("exited"), Some(false)));
    engine.finish();
}

#[test]
fn on_failure_gives_up_also_across_engines() {
    let mut engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "--restart", "on-failure:3", "busybox:test", "false"]).ok();
    wait::until("it was started again", || (inspect(&engine)["RestartCount"].as_i64() >= Some(1)).then_some(()));
    engine.kill9();
    engine.restart();
    wait::until("it gives up", || {
        let now = inspect(&engine);
        (now["State"]["Status"] == "exited" && now["RestartCount"] == 3).then_some(())
    });
    engine.finish();
}

#[test]
fn what_was_stopped_by_hand_stays_down_unless_always() {
    let mut engine = TempEngine::start();
    for policy in ["unless-stopped", "always"] {
        engine.cli(&["run", "-d", "--name", policy, "--restart", policy, "busybox:test", "sleep", "1000"]).ok();
        engine.cli(&["stop", "-t", "0", policy]).ok();
    }
    engine.kill9();
    engine.restart();
    wait::until("always is up", || {
        (engine.get("/containers/always/json")["State"]["Status"] == "running").then_some(())
    });
    assert_eq!(engine.get("/containers/unless-stopped/json")["State"]["Status"], "exited");
    engine.finish();
}

/// The monitor: the parent of the first process.
fn monitor(engine: &TempEngine, name: &str) -> Pid {
    let pid = engine.get(&format!("/containers/{name}/json"))["State"]["Pid"].as_i64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    Pid::from_raw(parent).unwrap()
}

#[test]
fn a_stopped_monitor_is_set_aside_and_holds_up_nobody() {
    let mut engine = TempEngine::start();
    for name in ["box", "doomed", "other"] {
        engine.cli(&["run", "-d", "--name", name, "busybox:test", "sleep", "1000"]).ok();
    }
    let stuck = ["box", "doomed"].map(|name| monitor(&engine, name));
    stuck.iter().for_each(|pid| kill_process(*pid, Signal::STOP).unwrap());
    engine.kill9();
    engine.restart();
    let now = inspect(&engine);
    assert_eq!(now["State"]["Status"], "running");
    assert!(now["State"]["Error"].as_str().unwrap().contains("does not answer"), "{now}");
    let refused = engine.cli(&["exec", "box", "true"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("does not answer"), "{}", refused.stderr);
    engine.cli(&["exec", "other", "true"]).ok();
    engine.cli(&["rm", "-f", "doomed"]).ok();
    kill_process(stuck[0], Signal::CONT).unwrap();
    wait::until("it is back", || (engine.cli(&["exec", "box", "true"]).code == 0).then_some(()));
    assert_eq!(inspect(&engine)["State"]["Error"], "");
    engine.finish();
}

#[test]
fn an_exec_that_cannot_start_does_not_hold_up_the_container() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let stuck = monitor(&engine, "box");
    kill_process(stuck, Signal::STOP).unwrap();
    let mut exec = engine.cli_command(&["exec", "box", "true"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    engine.cli(&["rename", "box", "crate"]).ok();
    kill_process(stuck, Signal::CONT).unwrap();
    assert!(exec.wait().unwrap().success());
    engine.finish();
}
