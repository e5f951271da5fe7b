//! The main job in one test each: what runs everywhere, the virtual machine included.

use wharf_testkit::{TempEngine, wait};

#[test]
fn smoke_run_with_each_network() {
    let engine = TempEngine::start();
    for network in ["bridge", "none", "host"] {
        let output = engine.cli(&["run", "--rm", "--network", network, "busybox:test", "echo", network]).ok();
        assert_eq!(output.line(), network);
    }
    engine.finish();
}

#[test]
fn smoke_life_of_a_container() {
    let engine = TempEngine::start();
    let script = "trap 'echo bye; exit 4' TERM; echo hello; while :; do sleep 0.1; done";
    engine.cli(&["run", "-d", "--name", "life", "busybox:test", "sh", "-c", script]).ok();
    wait::until("the first line is logged", || engine.cli(&["logs", "life"]).stdout.contains("hello").then_some(()));
    assert_eq!(engine.cli(&["exec", "life", "hostname"]).ok().line().len(), 12);
    engine.cli(&["stop", "life"]).ok();
    assert_eq!(engine.cli(&["logs", "life"]).ok().stdout, "hello\nbye\n");
    assert_eq!(engine.get("/containers/life/json")["State"]["ExitCode"], 4);
    engine.cli(&["rm", "life"]).ok();
    engine.finish();
}

#[test]
fn smoke_the_engine_dies_and_nothing_else_does() {
    let mut engine = TempEngine::start();
    let script = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done";
    engine.cli(&["run", "-d", "--name", "life", "busybox:test", "sh", "-c", script]).ok();
    let before = engine.get("/containers/life/json")["State"]["Pid"].clone();
    engine.kill9();
    engine.restart();
    assert_eq!(engine.get("/containers/life/json")["State"]["Pid"], before);
    engine.cli(&["rm", "-f", "life"]).ok();
    engine.finish();
}

#[test]
fn smoke_an_empty_engine_leaves_nothing() {
    TempEngine::start().finish();
}
