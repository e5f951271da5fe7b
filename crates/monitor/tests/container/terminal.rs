//! Containers and execs on a terminal.

use std::io::Write;

use wharf_monitor::protocol::{Event, Streams};
use wharf_types::Kind;

use crate::fixture::{client, fixture, patiently, process, read_until, streams};

fn keys() -> Streams {
    Streams { detach_keys: vec![16, 17], ..streams(false) }
}

#[tokio::test]
async fn the_terminal_is_the_containers_own() {
    let Some(mut fixture) = fixture(&["sh", "-c", "tty; stty size; exec sh"]) else { return };
    fixture.spec.open_stdin = true;
    fixture.spec.container.process.tty = true;
    fixture.spec.container.process.tty_size = Some((33, 77));
    let (theirs, mut ours) = client();
    let running = fixture.start(vec![(theirs, keys())]).await;
    assert_eq!(read_until(&ours, "77\r\n").await, "/dev/pts/0\r\n33 77\r\n");
    running.handle.resize(None, 44, 88).await.unwrap();
    ours.write_all(b"stty size\n").unwrap();
    read_until(&ours, "44 88\r\n").await;
    ours.write_all(b"exit 5\n").unwrap();
    running.expect_end(5).await;
}

#[tokio::test]
async fn the_detach_keys_leave_the_process_running() {
    let Some(mut fixture) = fixture(&["sh"]) else { return };
    fixture.spec.open_stdin = true;
    fixture.spec.container.process.tty = true;
    let (theirs, mut ours) = client();
    let mut running = fixture.start(vec![(theirs, keys())]).await;
    ours.write_all(&[16]).unwrap();
    ours.write_all(&[17]).unwrap();
    assert_eq!(patiently(running.events.next()).await.unwrap(), Some(Event::Detached { exec: None }));
    let (theirs, mut again) = client();
    running.handle.attach(theirs.into(), keys()).await.unwrap();
    again.write_all(b"echo he''re\n").unwrap();
    read_until(&again, "here\r\n").await;
    again.write_all(b"exit\n").unwrap();
    running.expect_end(0).await;
}

#[tokio::test]
async fn an_exec_has_a_terminal_of_its_own() {
    let Some(fixture) = fixture(&["sleep", "1000"]) else { return };
    let running = fixture.start(vec![]).await;
    assert_eq!(running.handle.resize(None, 1, 1).await.unwrap_err().kind(), Kind::Conflict);
    let (theirs, ours) = client();
    let mut program = process(&["sh", "-c", "tty; read line; stty size"]);
    program.tty = true;
    running.handle.exec("e1", program, Some((theirs.into(), keys()))).await.unwrap();
    assert_eq!(read_until(&ours, "\r\n").await, "/dev/pts/0\r\n");
    running.handle.resize(Some("e1"), 12, 34).await.unwrap();
    (&ours).write_all(b"\n").unwrap();
    read_until(&ours, "12 34\r\n").await;
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}
