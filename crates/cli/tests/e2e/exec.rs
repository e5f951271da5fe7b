//! Further processes in a running container.

use wharf_testkit::pty::Terminal;
use wharf_testkit::{TempEngine, wait};

fn with_box() -> TempEngine {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "-e", "FROM=container", "busybox:test", "sleep", "1000"]).ok();
    engine
}

#[test]
fn it_runs_inside_with_its_own_output_and_code() {
    let engine = with_box();
    let output = engine.cli(&["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9"]).exits(9);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    let first = engine.cli(&["exec", "box", "cat", "/proc/1/cmdline"]).ok();
    assert_eq!(first.stdout, "sleep\u{0}1000\u{0}");
    engine.finish();
}

#[test]
fn environment_user_and_folder() {
    let engine = with_box();
    let script = "echo $FROM $MINE; id -u; pwd";
    let arguments = ["exec", "-e", "MINE=exec", "-u", "app", "-w", "/tmp", "box", "sh", "-c", script];
    assert_eq!(engine.cli(&arguments).ok().stdout, "container exec\n1000\n/tmp\n");
    engine.finish();
}

#[test]
fn input_and_terminal() {
    let engine = with_box();
    assert_eq!(engine.cli_stdin(&["exec", "-i", "box", "cat"], b"text").ok().stdout, "text");
    let mut command =
        engine.cli_command(&["exec", "-it", "box", "sh", "-c", "test -t 1 && stty size; echo end; exit 6"]);
    let (status, text) = Terminal::start(&mut command).unwrap().finish().unwrap();
    assert!(text.contains("30 100") && text.contains("end"), "{text}");
    assert_eq!(status.code(), Some(6));
    engine.finish();
}

#[test]
fn what_cannot_run_has_dockers_codes() {
    let engine = with_box();
    engine.cli(&["exec", "box", "no-such-program"]).exits(127);
    engine.cli(&["exec", "box", "/etc/not-a-program"]).exits(126);
    engine.cli(&["exec", "no-such-box", "true"]).exits(1);
    engine.cli(&["stop", "-t", "0", "box"]).ok();
    let output = engine.cli(&["exec", "box", "true"]).exits(1);
    assert!(output.stderr.contains("is not running"), "{}", output.stderr);
    engine.finish();
}

#[test]
fn it_has_the_containers_confinement() {
    let engine = with_box();
    let status = engine.cli(&["exec", "box", "cat", "/proc/self/status"]).ok().stdout;
    assert!(status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    engine.finish();
}

#[test]
fn detached_it_goes_on_alone() {
    let engine = with_box();
    engine.cli(&["exec", "-d", "box", "sh", "-c", "echo done > /tmp/mark"]).ok();
    wait::until("the exec has written", || {
        (engine.cli(&["exec", "box", "cat", "/tmp/mark"]).stdout == "done\n").then_some(())
    });
    engine.finish();
}

#[test]
fn one_that_cannot_begin_holds_up_nobody() {
    let engine = with_box();
    let state = crate::limits::file(&engine, "box", ("freezer", "freezer.state"), "cgroup.freeze");
    let is_v1 = state.ends_with("freezer.state");
    // Behind the engine's back, as a pause of another engine's would be that came over a process being started.
    std::fs::write(&state, if is_v1 { "FROZEN" } else { "1" }).unwrap();
    let mut client = engine.cli_command(&["exec", "box", "true"]).spawn().unwrap();
    let pid = engine.get("/containers/box/json")["State"]["Pid"].to_string();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
    let children = format!("/proc/{monitor}/task/{monitor}/children");
    wait::until("the new process is there", || {
        (std::fs::read_to_string(&children).ok()?.split_whitespace().count() == 2).then_some(())
    });
    engine.cli(&["kill", "--signal", "WINCH", "box"]).ok();
    std::fs::write(&state, if is_v1 { "THAWED" } else { "0" }).unwrap();
    assert!(client.wait().unwrap().success());
    engine.finish();
}
