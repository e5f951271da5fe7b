//! Exit codes are Docker's: the program's own, 125 for wharf's, 126 and 127 for programs that cannot be run.

use wharf_testkit::TempEngine;

#[test]
fn the_programs_own_code_comes_back() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--rm", "busybox:test", "true"]).exits(0);
    engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "exit 3"]).exits(3);
    engine.finish();
}

#[test]
fn a_signal_is_128_and_its_number() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).exits(137);
    let id = engine.cli(&["run", "-d", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["kill", id.line()]).ok();
    assert_eq!(engine.cli(&["wait", id.line()]).ok().line(), "137");
    engine.finish();
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "busybox:test", "no-such-program"]).exits(127);
    assert!(output.stderr.contains("executable file not found in $PATH"), "{}", output.stderr);
    let output = engine.cli(&["run", "--rm", "busybox:test", "/no/such/program"]).exits(127);
    assert!(output.stderr.contains("no such file or directory"), "{}", output.stderr);
    engine.finish();
}

#[test]
fn a_file_that_is_no_program_is_126() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "busybox:test", "/etc/not-a-program"]).exits(126);
    assert!(output.stderr.contains("permission denied"), "{}", output.stderr);
    let output = engine.cli(&["run", "--rm", "busybox:test", "/etc"]).exits(126);
    assert!(!output.stderr.is_empty());
    engine.finish();
}

#[test]
fn a_flag_or_an_image_that_is_not_there_is_125() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--no-such-flag", "busybox:test", "true"]).exits(125);
    engine.cli(&["run", "--rm", "--pull", "never", "no-such-image", "true"]).exits(125);
    engine.finish();
}

#[test]
fn inspect_tells_the_code_after_the_end() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "ended", "busybox:test", "sh", "-c", "exit 41"]).exits(41);
    let state = &engine.get("/containers/ended/json")["State"];
    assert_eq!(state["ExitCode"], 41);
    assert_eq!(state["Status"], "exited");
    assert_eq!(state["Running"], false);
    assert_eq!(state["Pid"], 0);
    engine.cli(&["start", "-a", "ended"]).exits(41);
    engine.finish();
}
