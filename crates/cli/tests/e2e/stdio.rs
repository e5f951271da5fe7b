//! Standard input and output: pipes, terminals, detached.

use std::io::Write;
use std::process::Stdio;

use wharf_testkit::pty::Terminal;
use wharf_testkit::{Output, TempEngine};

#[test]
fn output_and_errors_stay_apart() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "echo out; echo err >&2"]).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    engine.finish();
}

#[test]
fn input_goes_in_and_its_end_too() {
    let engine = TempEngine::start();
    let output = engine.cli_stdin(&["run", "--rm", "-i", "busybox:test", "wc", "-c"], &[b'x'; 300_000]).ok();
    assert_eq!(output.line().trim(), "300000");
    engine.finish();
}

#[test]
fn without_i_there_is_no_input() {
    let engine = TempEngine::start();
    assert_eq!(engine.cli_stdin(&["run", "--rm", "busybox:test", "cat"], b"text").ok().stdout, "");
    engine.finish();
}

#[test]
fn a_megabyte_of_output_arrives_whole() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "busybox:test", "seq", "1", "200000"]).ok();
    let expected: usize = (1..=200_000).map(|number: usize| number.to_string().len() + 1).sum();
    assert_eq!(output.stdout.len(), expected);
    assert!(output.stdout.ends_with("\n199999\n200000\n"));
    engine.finish();
}

#[test]
fn a_terminal_is_a_terminal_of_the_callers_size() {
    let engine = TempEngine::start();
    let script = "test -t 0 && test -t 1 && echo is-a-tty; stty size; echo ready; read line; echo got-$line; exit 5";
    let mut terminal =
        Terminal::start(&mut engine.cli_command(&["run", "--rm", "-it", "busybox:test", "sh", "-c", script])).unwrap();
    let start = terminal.read_until("ready").unwrap();
    assert!(start.contains("is-a-tty"), "{start}");
    assert!(start.contains("30 100"), "{start}");
    terminal.send("word\r").unwrap();
    let (status, rest) = terminal.finish().unwrap();
    assert!(rest.contains("got-word"), "{rest}");
    assert_eq!(status.code(), Some(5));
    engine.finish();
}

#[test]
fn a_terminal_without_one_on_our_side_is_refused() {
    let engine = TempEngine::start();
    let output = engine.cli_stdin(&["run", "--rm", "-it", "busybox:test", "true"], b"x");
    assert_ne!(output.code, 0);
    assert!(output.stderr.to_lowercase().contains("tty"), "{}", output.stderr);
    engine.finish();
}

#[test]
fn detached_prints_the_id_and_goes_on() {
    let engine = TempEngine::start();
    let id = engine.cli(&["run", "-d", "busybox:test", "sleep", "1000"]).ok();
    assert_eq!(id.line().len(), 64);
    assert!(id.line().bytes().all(|byte| byte.is_ascii_hexdigit()));
    let listed = engine.cli(&["ps", "--no-trunc", "-q"]).ok();
    assert_eq!(listed.line(), id.line());
    engine.finish();
}

#[test]
fn rm_removes_when_it_ends_and_nothing_is_listed() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
    assert_eq!(engine.cli(&["ps", "-aq"]).ok().stdout, "");
    engine.finish();
}

#[test]
fn attach_joins_a_running_container() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-di", "--name", "cat", "busybox:test", "sh", "-c", "read x; echo got-$x"]).ok();
    let mut command = engine.cli_command(&["attach", "cat"]);
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The end of input ends the attachment, as Docker has it; so it stays open until the answer is there.
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(b"word\n").unwrap();
    assert_eq!(Output::of_child(client).ok().stdout, "got-word\n");
    drop(stdin);
    engine.finish();
}
