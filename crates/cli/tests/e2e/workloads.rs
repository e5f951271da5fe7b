//! Programs that people run in containers, from Debian's packages, and programs that misbehave.
//!
//! The programs are the host's: its `/usr` is mounted over the one of the small image.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use wharf_testkit::{Output, TempEngine, foreign, wait};

/// The host's programs and libraries, read-only, and its users.
const HOST: [&str; 10] = [
    "-v",
    "/usr:/usr:ro",
    "-v",
    "/lib:/lib:ro",
    "-v",
    "/lib64:/lib64:ro",
    "-v",
    "/etc/passwd:/etc/passwd:ro",
    "--network",
    "none",
];

fn run(engine: &TempEngine, words: &[&[&str]]) -> Output {
    engine.cli(&[&["run"][..], &HOST, &words.concat()].concat())
}

/// The folder with PostgreSQL's own programs, of which Debian puts none on the PATH.
fn postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|entry| entry.path().join("bin")).find(|folder| folder.join("initdb").exists());
    if found.is_none() {
        foreign::skip("PostgreSQL is not installed");
    }
    found
}

#[test]
fn a_database_survives_being_killed() {
    let Some(bin) = postgres() else { return };
    let bin = bin.display();
    let engine = TempEngine::start();
    run(&engine, &[&["--rm", "-v", "data:/data", "busybox:test", "chown", "daemon", "/data"]]).ok();
    let script = format!(
        "export LC_ALL=C; [ -e /data/pg/PG_VERSION ] || {bin}/initdb -D /data/pg -U pg -A trust --no-locale -E UTF8 || exit 1; \
         exec {bin}/postgres -D /data/pg -k /tmp -c listen_addresses= -c shared_buffers=16MB"
    );
    let flags = ["-d", "--name", "db", "-u", "daemon", "-v", "data:/data", "--shm-size", "64m"];
    run(&engine, &[&flags, &["busybox:test", "sh", "-c", &script]]).ok();
    let ask = |query: &str| {
        let psql = format!("{bin}/psql");
        engine.cli(&["exec", "db", &psql, "-h", "/tmp", "-U", "pg", "-d", "postgres", "-Atc", query])
    };
    let answers = || {
        wait::until("the database answers", || {
            let output = ask("select 1");
            let state = engine.get("/containers/db/json")["State"]["Running"] == true;
            assert!(state, "{}", engine.cli(&["logs", "db"]).stdout);
            (output.stdout == "1\n").then_some(())
        });
    };
    answers();
    ask("create table numbers as select generate_series(1, 1000) as number").ok();
    ask("create table rest (number int)").ok();
    for _ in 0..2 {
        let container = engine.cli_command(&["exec", "db", "sh", "-c", &format!(
            "while {bin}/psql -h /tmp -U pg -d postgres -qc 'insert into rest select generate_series(1, 100)'; do :; done"
        )]).spawn();
        let mut writer = container.unwrap();
        wait::until("something is written", || (ask("select count(*) > 0 from rest").stdout == "t\n").then_some(()));
        engine.cli(&["kill", "db"]).ok();
        let _ended = writer.wait().unwrap();
        engine.cli(&["start", "db"]).ok();
        answers();
        assert_eq!(ask("select count(*), sum(number) from numbers").ok().stdout, "1000|500500\n");
        // What was written at once is there as a whole or not at all.
        assert_eq!(ask("select count(*) % 100 from rest").ok().stdout, "0\n");
    }
    engine.cli(&["stop", "db"]).ok();
    assert_eq!(engine.get("/containers/db/json")["State"]["ExitCode"], 0);
    engine.finish();
}

#[test]
fn a_cache_keeps_what_it_was_told_to_save() {
    let Some(server) = foreign::need("redis-server") else { return };
    let engine = TempEngine::start();
    let flags = ["-d", "--name", "cache", "-v", "data:/data", "busybox:test"];
    let command = [server.to_str().unwrap(), "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always"];
    run(&engine, &[&flags, &command]).ok();
    let ask = |words: &[&str]| engine.cli(&[&["exec", "cache", "redis-cli"], words].concat());
    let answers = || wait::until("the cache answers", || (ask(&["ping"]).stdout == "PONG\n").then_some(()));
    answers();
    let script = "i=0; while [ $i -lt 2000 ]; do echo SET key$i $i; i=$((i+1)); done | redis-cli --pipe";
    engine.cli(&["exec", "cache", "sh", "-c", script]).ok();
    engine.cli(&["kill", "cache"]).ok();
    engine.cli(&["start", "cache"]).ok();
    answers();
    assert_eq!((ask(&["dbsize"]).ok().line(), ask(&["get", "key1999"]).ok().line()), ("2000", "1999"));
    engine.finish();
}

/// tmux on a socket of its own, gone with this.
struct Tmux(PathBuf);

impl Tmux {
    fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        Output::of(command.arg("-S").arg(&self.0).args(["-f", "/dev/null"]).args(words).env("TERM", "xterm"), b"")
    }

    fn keys(&self, keys: &[&str]) {
        self.command(&[&["send-keys"], keys].concat()).ok();
    }

    fn shows(&self, text: &str) {
        wait::until(text, || self.command(&["capture-pane", "-p"]).stdout.contains(text).then_some(()));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _gone = self.command(&["kill-server"]);
    }
}

#[test]
fn a_shell_is_driven_through_a_terminal() {
    if foreign::need("tmux").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let tmux = Tmux(engine.scratch().join("tmux"));
    let wharf = wharf_testkit::engine::program();
    let run = format!("{} --host {} run -it --name box busybox:test sh", wharf.display(), engine.host());
    tmux.command(&["new-session", "-d", "-x", "80", "-y", "24", &run]).ok();
    tmux.shows("/ #");
    tmux.keys(&["stty size; echo $((6*7))", "Enter"]);
    tmux.shows("24 80");
    tmux.shows("42");
    // An editor paints the whole screen.
    tmux.keys(&["vi /text", "Enter"]);
    tmux.shows("- /text");
    tmux.keys(&["ihello from the editor"]);
    tmux.shows("I /text");
    // With another key right behind it, it would be the beginning of a longer one.
    tmux.keys(&["Escape"]);
    tmux.shows("- /text");
    tmux.keys(&[":wq", "Enter"]);
    tmux.keys(&["cat /text | tr a-z A-Z", "Enter"]);
    tmux.shows("HELLO FROM THE EDITOR");
    tmux.keys(&["top", "Enter"]);
    tmux.shows("Load average");
    tmux.keys(&["q"]);
    // The window becomes another one, and so does the container's.
    tmux.command(&["resize-window", "-x", "100", "-y", "30"]).ok();
    wait::until("the new size has arrived", || {
        tmux.keys(&["clear; stty size", "Enter"]);
        tmux.command(&["capture-pane", "-p"]).stdout.contains("30 100").then_some(())
    });
    assert_eq!(engine.get("/containers/box/json")["State"]["Running"], true);
    drop(tmux);
    engine.finish();
}

#[test]
fn ten_thousand_orphans_are_reaped() {
    let engine = TempEngine::start();
    let script = "i=0; while [ $i -lt 10000 ]; do (true &); i=$((i+1)); done; sleep 1000";
    engine.cli(&["run", "-d", "--init", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    let shell = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; ls -d /proc/[0-9]* | wc -l";
    wait::until("all have come and gone", || {
        let output = engine.cli(&["exec", "box", "sh", "-c", &format!("pidof sleep && ({shell})")]).stdout;
        let numbers: Vec<u32> = output.lines().skip(1).filter_map(|line| line.trim().parse().ok()).collect();
        matches!(numbers[..], [0, 0..=8]).then_some(())
    });
    engine.finish();
}

/// Whoever does not answer costs its own container only.
#[test]
fn a_stopped_monitor_and_a_stubborn_program_hold_up_nobody() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "stuck", "busybox:test", "sleep", "1000"]).ok();
    let pid = engine.get("/containers/stuck/json")["State"]["Pid"].as_i64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{parent}/comm")).exists());
    kill_process(Pid::from_raw(parent).unwrap(), Signal::STOP).unwrap();
    let stubborn = "trap '' TERM; echo ready; while true; do sleep 1; done";
    engine.cli(&["run", "-d", "--name", "stubborn", "busybox:test", "sh", "-c", stubborn]).ok();
    wait::until("it ignores signals", || (engine.cli(&["logs", "stubborn"]).stdout == "ready\n").then_some(()));
    engine.cli(&["stop", "-t", "1", "stubborn"]).ok();
    assert_eq!(engine.get("/containers/stubborn/json")["State"]["ExitCode"], 137);
    let bomb = "f() { f | f & }; f; sleep 1; echo alive";
    let arguments = ["run", "--rm", "--pids-limit", "30", "--memory", "64m", "busybox:test", "sh", "-c", bomb];
    let _ended = engine.cli(&arguments);
    assert_eq!(engine.cli(&["run", "--rm", "busybox:test", "echo", "fine"]).ok().line(), "fine");
    assert!(engine.cli(&["ps"]).ok().stdout.contains("stuck"));
    kill_process(Pid::from_raw(parent).unwrap(), Signal::CONT).unwrap();
    assert_eq!(engine.cli(&["exec", "stuck", "echo", "back"]).ok().line(), "back");
    engine.finish();
}
