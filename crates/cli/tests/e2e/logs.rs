//! What a container wrote can be read again, in parts, with times, and as it comes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use wharf_testkit::{Output, TempEngine, sweep, wait};

#[test]
fn all_and_the_tail() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "box", "busybox:test", "sh", "-c", "seq 1 20; echo err >&2"]).ok();
    let all = engine.cli(&["logs", "box"]).ok();
    assert_eq!(all.stdout.lines().count(), 20);
    assert_eq!(all.stderr, "err\n");
    // One of the last three lines went to the other stream, and which one is a matter of the pipes.
    let tail = engine.cli(&["logs", "-n", "3", "box"]).ok();
    assert_eq!(tail.stdout.lines().count() + tail.stderr.lines().count(), 3);
    engine.finish();
}

#[test]
fn times_are_rfc_3339_and_select() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "box", "busybox:test", "sh", "-c", "echo one; sleep 0.3; echo two"]).ok();
    let timed = engine.cli(&["logs", "-t", "box"]).ok();
    let times: Vec<&str> = timed.stdout.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(times.len(), 2);
    assert!(times.iter().all(|time| time.len() == 30 && time.ends_with('Z')), "{times:?}");
    let later = engine.cli(&["logs", "--since", times[1], "box"]).ok();
    assert_eq!(later.stdout, "two\n");
    engine.finish();
}

#[test]
fn following_ends_with_the_container() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-di", "--name", "box", "busybox:test", "sh", "-c", "echo one; read x; echo two"]).ok();
    let mut command = engine.cli_command(&["logs", "-f", "box"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(follower.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    engine.cli_stdin(&["attach", "box"], b"go\n").ok();
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "two\n");
    assert_eq!(Output::of_child(follower).code, 0);
    engine.finish();
}

#[test]
fn the_file_is_dockers_json_file() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "box", "busybox:test", "echo", "a \"quoted\" line"]).ok();
    let inspected = engine.get("/containers/box/json");
    let path = inspected["LogPath"].as_str().unwrap();
    assert!(path.ends_with("-json.log"), "{path}");
    let content = std::fs::read_to_string(path).unwrap();
    assert!(
        content.starts_with("{\"log\":\"a \\\"quoted\\\" line\\n\",\"stream\":\"stdout\",\"time\":\""),
        "{content}"
    );
    engine.finish();
}

#[test]
fn a_follower_that_goes_away_disturbs_nobody() {
    let engine = TempEngine::start();
    let script = "i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); sleep 0.01; done";
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    let mut follower = engine.cli_command(&["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    sweep::kill(follower.id());
    follower.wait().unwrap();
    engine.cli(&["wait", "box"]).ok();
    wait::until("all lines are there", || {
        (engine.cli(&["logs", "box"]).ok().stdout.lines().count() == 200).then_some(())
    });
    engine.finish();
}
