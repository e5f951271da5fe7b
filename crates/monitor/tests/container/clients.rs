//! Clients on the first process's streams.

use std::io::Write;

use wharf_monitor::protocol::{Event, LogPlan, Streams};

use crate::fixture::{client, fixture, half_close, patiently, read_all, read_until, streams};

#[tokio::test]
async fn standard_input_ends_with_the_client() {
    let Some(mut fixture) = fixture(&["cat"]) else { return };
    (fixture.spec.open_stdin, fixture.spec.stdin_once) = (true, true);
    let (theirs, mut ours) = client();
    let running = fixture.start(vec![(theirs, streams(false))]).await;
    ours.write_all(b"some input\n").unwrap();
    half_close(&ours);
    assert_eq!(read_all(ours).await, b"some input\n");
    assert_eq!(running.expect_end(0).await.log(), "some input\n");
}

#[tokio::test]
async fn much_input_comes_back_complete() {
    let Some(mut fixture) = fixture(&["cat"]) else { return };
    (fixture.spec.open_stdin, fixture.spec.stdin_once) = (true, true);
    fixture.spec.log = LogPlan::None;
    let (theirs, ours) = client();
    let running = fixture.start(vec![(theirs, streams(false))]).await;
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut writer, expected) = (ours.try_clone().unwrap(), data.clone());
    let writing = tokio::task::spawn_blocking(move || {
        writer.write_all(&data).unwrap();
        half_close(&writer);
    });
    assert!(read_all(ours).await == expected);
    writing.await.unwrap();
    running.expect_end(0).await;
}

#[tokio::test]
async fn output_is_multiplexed() {
    let Some(fixture) = fixture(&["sh", "-c", "echo out; echo error >&2"]) else { return };
    let (theirs, ours) = client();
    let running = fixture.start(vec![(theirs, streams(true))]).await;
    let received = read_all(ours).await;
    let frames = [&b"\x01\0\0\0\0\0\0\x04out\n"[..], b"\x02\0\0\0\0\0\0\x06error\n"];
    assert!(received == frames.concat() || received == [frames[1], frames[0]].concat(), "{received:?}");
    running.expect_end(0).await;
}

#[tokio::test]
async fn without_stdin_once_the_input_stays_open_for_the_next_client() {
    let Some(mut fixture) = fixture(&["sh", "-c", "while read line; do echo got $line; done"]) else { return };
    fixture.spec.open_stdin = true;
    let running = fixture.start(vec![]).await;
    for text in ["one", "two"] {
        let (theirs, ours) = client();
        running.handle.attach(theirs.into(), streams(false)).await.unwrap();
        writeln!(&ours, "{text}").unwrap();
        assert_eq!(read_until(&ours, "\n").await, format!("got {text}\n"));
        half_close(&ours);
        assert_eq!(read_all(ours).await, b"");
    }
    running.handle.signal(None, 9).await.unwrap();
    assert_eq!(running.expect_end(137).await.log(), "got one\ngot two\n");
}

#[tokio::test]
async fn a_client_without_input_may_close_its_side() {
    let Some(mut fixture) = fixture(&["sh", "-c", "read line; echo bye"]) else { return };
    (fixture.spec.open_stdin, fixture.spec.stdin_once) = (true, true);
    let (theirs, watching) = client();
    let (theirs_too, typing) = client();
    let watcher = Streams { stdin: false, ..streams(false) };
    let running = fixture.start(vec![(theirs, watcher), (theirs_too, streams(false))]).await;
    half_close(&watching);
    running.handle.status().await.unwrap();
    half_close(&typing);
    assert_eq!(read_all(watching).await, b"bye\n");
    assert_eq!(read_all(typing).await, b"bye\n");
    running.expect_end(0).await;
}

#[tokio::test]
async fn a_client_that_dies_harms_nobody() {
    let Some(mut fixture) = fixture(&["sh", "-c", "read line; seq 1 50000; echo end"]) else { return };
    fixture.spec.open_stdin = true;
    let (dead, dying) = client();
    let (theirs, mut ours) = client();
    let running = fixture.start(vec![(dead, streams(false)), (theirs, streams(false))]).await;
    drop(dying);
    ours.write_all(b"go\n").unwrap();
    let received = read_all(ours).await;
    assert!(received.ends_with(b"\n50000\nend\n"));
    running.expect_end(0).await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_the_process_up_until_it_goes() {
    let Some(fixture) = fixture(&["sh", "-c", "seq 1 100000; exit 2"]) else { return };
    let (theirs, ours) = client();
    let running = fixture.start(vec![(theirs, streams(true))]).await;
    // The monitor answers although the process waits.
    running.handle.status().await.unwrap();
    assert!(running.fixture.log().lines().count() < 100_000);
    drop(ours);
    assert_eq!(running.expect_end(2).await.log().lines().count(), 100_000);
}

#[tokio::test]
async fn slow_clients_receive_the_last_words_of_an_ended_container() {
    let Some(fixture) = fixture(&["sh", "-c", "seq 1 20000"]) else { return };
    let (theirs, ours) = client();
    let mut running = fixture.start(vec![(theirs, streams(false))]).await;
    let exit = async {
        let Some(Event::Exited(exit)) = running.events.next().await.unwrap() else { panic!("no exit") };
        exit
    };
    assert_eq!(patiently(exit).await.code, 0);
    assert!(read_all(ours).await.ends_with(b"\n20000\n"));
    running.expect_gone().await;
}
