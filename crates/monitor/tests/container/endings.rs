//! Exit codes, the record, the log, and an engine that dies.

use std::time::Duration;

use wharf_monitor::protocol::{Event, LogPlan};
use wharf_monitor::{Handle, read_exit};
use wharf_types::Kind;

use crate::fixture::{client, fixture, patiently, read_until, streams};

#[tokio::test]
async fn output_is_logged_and_zero_is_told() {
    let Some(fixture) = fixture(&["echo", "hello <world>"]) else { return };
    let fixture = fixture.start(vec![]).await.expect_end(0).await;
    assert_eq!(fixture.log(), "hello <world>\n");
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_program() {
    let Some(fixture) = fixture(&["sh", "-c", "echo out; echo error >&2; printf rest; exit 3"]) else { return };
    let fixture = fixture.start(vec![]).await.expect_end(3).await;
    let log = fixture.log();
    assert!(["out\n", "error\n", "rest"].iter().all(|text| log.contains(text)), "{log}");
}

#[tokio::test]
async fn a_killed_program_ends_with_its_signal() {
    let Some(fixture) = fixture(&["sleep", "1000"]) else { return };
    let running = fixture.start(vec![]).await;
    let status = running.handle.status().await.unwrap();
    assert_eq!((status.pid, status.monitor_pid), (running.pid, running.monitor));
    assert_eq!(running.handle.signal(None, 999).await.unwrap_err().kind(), Kind::InvalidParameter);
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn an_engine_that_dies_costs_nothing() {
    let Some(fixture) = fixture(&["sh", "-c", "while read line; do echo got $line; done; exit 7"]) else { return };
    let mut fixture = fixture;
    (fixture.spec.open_stdin, fixture.spec.stdin_once) = (true, true);
    let running = fixture.start(vec![]).await;
    let run_dir = running.fixture.run_dir();
    let fixture = running.fixture;
    drop((running.handle, running.events));
    let handle = Handle::connect(&run_dir).await.unwrap();
    assert_eq!(handle.status().await.unwrap().pid, running.pid);
    let mut events = handle.subscribe().await.unwrap();
    let (theirs, ours) = client();
    handle.attach(theirs.into(), streams(false)).await.unwrap();
    std::io::Write::write_all(&mut &ours, b"one\n").unwrap();
    assert_eq!(read_until(&ours, "\n").await, "got one\n");
    drop(ours);
    let Some(Event::Exited(exit)) = patiently(events.next()).await.unwrap() else { panic!("no exit") };
    assert_eq!(exit.code, 7);
    assert_eq!(patiently(events.next()).await.unwrap(), None);
    assert_eq!(fixture.log(), "got one\n");
}

#[tokio::test]
async fn what_happens_without_an_engine_is_found_in_the_record() {
    let Some(fixture) = fixture(&["sh", "-c", "read line; exit 5"]) else { return };
    let mut fixture = fixture;
    (fixture.spec.open_stdin, fixture.spec.stdin_once) = (true, true);
    let (theirs, ours) = client();
    let running = fixture.start(vec![(theirs, streams(false))]).await;
    let run_dir = running.fixture.run_dir();
    let fixture = running.fixture;
    drop((running.handle, running.events));
    drop(ours);
    let ended = async {
        while Handle::connect(&run_dir).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    patiently(ended).await;
    assert_eq!(read_exit(&run_dir).unwrap().unwrap().code, 5);
    assert_eq!(Handle::connect(&run_dir).await.unwrap_err().kind(), Kind::NotFound);
    fixture.assert_no_cgroup();
}

#[tokio::test]
async fn much_output_is_logged_completely() {
    let Some(fixture) = fixture(&["seq", "1", "50000"]) else { return };
    let fixture = fixture.start(vec![]).await.expect_end(0).await;
    let log = fixture.log();
    assert_eq!(log.lines().count(), 50_000);
    assert!(log.ends_with("\n50000\n"));
}

#[tokio::test]
async fn rotated_logs_are_compressed_and_read_back() {
    let Some(mut fixture) = fixture(&["seq", "1", "20000"]) else { return };
    let LogPlan::JsonFile { max_size, max_files, compress, .. } = &mut fixture.spec.log else { unreachable!() };
    (*max_size, *max_files, *compress) = (Some(300_000), 100, true);
    let fixture = fixture.start(vec![]).await.expect_end(0).await;
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(fixture.log() == expected);
    let names = std::fs::read_dir(fixture.run_dir().parent().unwrap()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name == "log.1.gz"), "{names:?}");
    assert!(!names.iter().any(|name| name == "log.1" || name.ends_with(".tmp")), "{names:?}");
}

#[tokio::test]
async fn a_full_disk_does_not_stop_the_container() {
    let Some(mut fixture) = fixture(&["sh", "-c", "seq 1 1000; exit 4"]) else { return };
    fixture.spec.log =
        LogPlan::JsonFile { path: "/dev/full".into(), max_size: None, max_files: 1, compress: false, attrs: vec![] };
    let exit = fixture.start(vec![]).await.end().await;
    assert_eq!(exit.code, 4);
    assert!(
        exit.problems[0].starts_with("1000 lines of the log could not be written: No space left"),
        "{:?}",
        exit.problems
    );
}
