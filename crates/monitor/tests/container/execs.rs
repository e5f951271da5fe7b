//! Further processes in a running container.

use std::io::Write;

use wharf_monitor::protocol::Event;
use wharf_types::Kind;

use crate::fixture::{Running, client, fixture, half_close, patiently, process, read_all, streams};

async fn sleeper() -> Option<Running> {
    Some(fixture(&["sleep", "1000"])?.start(vec![]).await)
}

async fn expect_exec_end(running: &mut Running, id: &str, code: i32) {
    let event = patiently(running.events.next()).await.unwrap();
    assert_eq!(event, Some(Event::ExecExited { id: id.to_owned(), code }));
}

#[tokio::test]
async fn output_and_exit_code_are_those_of_the_exec() {
    let Some(mut running) = sleeper().await else { return };
    let (theirs, ours) = client();
    let program = process(&["sh", "-c", "echo here; exit 9"]);
    running.handle.exec("e1", program, Some((theirs.into(), streams(true)))).await.unwrap();
    assert_eq!(read_all(ours).await, b"\x01\0\0\0\0\0\0\x05here\n");
    expect_exec_end(&mut running, "e1", 9).await;
    running.handle.signal(None, 9).await.unwrap();
    assert_eq!(running.expect_end(137).await.log(), "");
}

#[tokio::test]
async fn input_reaches_the_exec_and_ends() {
    let Some(mut running) = sleeper().await else { return };
    let (theirs, mut ours) = client();
    running.handle.exec("e1", process(&["cat"]), Some((theirs.into(), streams(false)))).await.unwrap();
    ours.write_all(b"to and fro").unwrap();
    half_close(&ours);
    assert_eq!(read_all(ours).await, b"to and fro");
    expect_exec_end(&mut running, "e1", 0).await;
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn a_detached_exec_runs_and_takes_signals() {
    let Some(mut running) = sleeper().await else { return };
    let started = running.handle.exec("e1", process(&["sleep", "500"]), None).await.unwrap();
    assert_eq!(running.handle.status().await.unwrap().execs, [("e1".to_owned(), started.pid)]);
    running.handle.signal(Some("e1"), 15).await.unwrap();
    expect_exec_end(&mut running, "e1", 143).await;
    assert_eq!(running.handle.signal(Some("e1"), 15).await.unwrap_err().kind(), Kind::NotFound);
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be() {
    let Some(running) = sleeper().await else { return };
    let error = running.handle.exec("e1", process(&["nothing"]), None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::CommandNotFound);
    assert!(error.to_string().contains("exec: \"nothing\": executable file not found in $PATH"), "{error}");
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn execs_end_with_the_container() {
    let Some(mut running) = sleeper().await else { return };
    let (theirs, ours) = client();
    running.handle.exec("e1", process(&["sleep", "500"]), Some((theirs.into(), streams(false)))).await.unwrap();
    running.handle.signal(None, 9).await.unwrap();
    expect_exec_end(&mut running, "e1", 137).await;
    assert_eq!(read_all(ours).await, b"");
    running.expect_end(137).await;
}

#[tokio::test]
async fn exits_are_remembered_for_the_next_engine() {
    let Some(running) = sleeper().await else { return };
    let (theirs, ours) = client();
    let program = process(&["sh", "-c", "read line; exit 6"]);
    running.handle.exec("e1", program, Some((theirs.into(), streams(false)))).await.unwrap();
    let Running { fixture, handle, events, pid, monitor } = running;
    drop(events);
    half_close(&ours);
    read_all(ours).await;
    let events = handle.subscribe().await.unwrap();
    let mut running = Running { fixture, handle, events, pid, monitor };
    expect_exec_end(&mut running, "e1", 6).await;
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}
