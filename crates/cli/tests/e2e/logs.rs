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

#[test]
fn what_is_typed_is_recorded_when_asked_for() {
    let engine = TempEngine::start();
    let run =
        ["run", "-i", "--name", "box", "--log-opt", "stdin=true", "busybox:test", "sh", "-c", "read x; echo got $x"];
    assert_eq!(engine.cli_stdin(&run, b"secret\n").ok().stdout, "got secret\n");
    assert_eq!(engine.cli(&["logs", "box"]).ok().stdout, "got secret\n");
    let all = engine.cli(&["logs", "--stdin", "box"]).ok().stdout;
    assert_eq!(all, "secret\ngot secret\n");
    let path = engine.get("/containers/box/json")["LogPath"].as_str().unwrap().to_owned();
    assert!(std::fs::read_to_string(path).unwrap().contains("\"stream\":\"stdin\""));
    engine.finish();
}

#[test]
fn lines_say_what_they_were_asked_to_say() {
    let engine = TempEngine::start();
    let options =
        ["--log-opt", "labels=tier", "--log-opt", "env-regex=^A", "--log-opt", "tag={{.Name}}/{{.ImageName}}"];
    let run = ["run", "--name", "box", "--label", "tier=front", "-e", "AB=1", "-e", "BA=2"];
    engine.cli(&[&run[..], &options, &["busybox:test", "echo", "hi"]].concat()).ok();
    let path = engine.get("/containers/box/json")["LogPath"].as_str().unwrap().to_owned();
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = serde_json::json!({"AB": "1", "tag": "box/busybox:test", "tier": "front"});
    assert_eq!(line["attrs"], expected);
    let bad = engine.cli(&["create", "--log-opt", "what=ever", "busybox:test"]);
    assert!(bad.stderr.contains("unknown log opt 'what' for json-file log driver"), "{}", bad.stderr);
    let bad = engine.cli(&["create", "--log-driver", "what", "busybox:test"]);
    assert!(bad.stderr.contains("no log driver named 'what' is registered"), "{}", bad.stderr);
    engine.finish();
}

#[test]
fn collectors_get_every_line_and_logs_can_still_be_read() {
    let engine = TempEngine::start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let address = format!("syslog-address=udp://{}", socket.local_addr().unwrap());
    let run = ["run", "--name", "box", "--log-driver", "syslog", "--log-opt", &address, "--log-opt", "tag=me"];
    engine
        .cli(
            &[&run[..], &["--log-opt", "syslog-format=rfc5424", "busybox:test", "sh", "-c", "echo one; echo two >&2"]]
                .concat(),
        )
        .ok();
    let mut buffer = [0; 1000];
    let mut received: Vec<String> = (0..2)
        .map(|_| socket.recv(&mut buffer).map(|count| String::from_utf8_lossy(&buffer[..count]).into_owned()).unwrap())
        .collect();
    received.sort();
    assert!(received[0].starts_with("<27>1 ") && received[0].ends_with(" me - two\n"), "{received:?}");
    assert!(received[1].starts_with("<30>1 ") && received[1].ends_with(" me - one\n"), "{received:?}");
    assert_eq!(engine.cli(&["logs", "box"]).ok().stdout, "one\n");
    engine.cli(&["run", "--name", "kept", "--log-driver", "local", "busybox:test", "echo", "kept"]).ok();
    assert_eq!(engine.cli(&["logs", "kept"]).ok().stdout, "kept\n");
    let nobody = ["run", "--log-driver", "fluentd", "--log-opt", "fluentd-address=127.0.0.1:1", "busybox:test", "true"];
    let refused = engine.cli(&nobody);
    assert!(refused.stderr.contains("failed to initialize logging driver"), "{}", refused.stderr);
    engine.finish();
}

#[test]
fn damage_costs_only_its_own_lines() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "box", "busybox:test", "seq", "1", "5"]).ok();
    let path = engine.get("/containers/box/json")["LogPath"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let damaged = [lines[0], &"\0".repeat(40), lines[2], lines[3], lines[4]].join("\n") + "\n";
    std::fs::write(&path, damaged).unwrap();
    let read = engine.cli(&["logs", "box"]).ok().stdout;
    assert_eq!(read, "1\n[41 bytes of the log are damaged]\n3\n4\n5\n");
    engine.finish();
}
