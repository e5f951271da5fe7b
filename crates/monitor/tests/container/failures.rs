//! Starts that fail leave nothing, and a monitor that does not answer is not waited for.

use rustix::process::{Pid, Signal, kill_process};
use wharf_monitor::protocol::LogPlan;
use wharf_monitor::{Handle, read_exit};
use wharf_types::Kind;

use crate::fixture::{client, fixture, read_all, streams};

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be() {
    let Some(fixture) = fixture(&["nothing"]) else { return };
    let (theirs, ours) = client();
    let Err((fixture, error)) = fixture.try_start(vec![(theirs, streams(false))]).await else { panic!("it started") };
    assert_eq!(error.kind(), Kind::CommandNotFound);
    assert!(error.to_string().contains("exec: \"nothing\": executable file not found in $PATH"), "{error}");
    assert_eq!(read_all(ours).await, b"");
    fixture.assert_no_cgroup();
    assert_eq!(read_exit(&fixture.run_dir()).unwrap(), None);
    assert_eq!(std::fs::read_dir(fixture.run_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_clear_failure() {
    let Some(mut fixture) = fixture(&["true"]) else { return };
    let path = fixture.run_dir().join("none/log");
    fixture.spec.log = LogPlan::JsonFile { path, max_size: None, max_files: 1, compress: false, attrs: vec![] };
    let Err((fixture, error)) = fixture.try_start(vec![]).await else { panic!("it started") };
    assert!(error.to_string().starts_with("cannot open the log file"), "{error}");
    assert!(error.hint().is_some());
    fixture.assert_no_cgroup();
}

#[tokio::test]
async fn a_monitor_that_is_stopped_is_unavailable() {
    let Some(fixture) = fixture(&["sleep", "1000"]) else { return };
    let running = fixture.start(vec![]).await;
    let monitor = Pid::from_raw(running.monitor).unwrap();
    kill_process(monitor, Signal::STOP).unwrap();
    // The clock jumps to the time limit as soon as nothing else can happen.
    tokio::time::pause();
    let error = running.handle.status().await.unwrap_err();
    tokio::time::resume();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.hint().is_some());
    kill_process(monitor, Signal::CONT).unwrap();
    running.handle.status().await.unwrap();
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn no_signal_but_the_last_ends_a_monitor() {
    let Some(fixture) = fixture(&["sleep", "1000"]) else { return };
    let running = fixture.start(vec![]).await;
    let monitor = Pid::from_raw(running.monitor).unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::PIPE, Signal::USR1] {
        kill_process(monitor, signal).unwrap();
    }
    running.handle.status().await.unwrap();
    running.handle.signal(None, 9).await.unwrap();
    running.expect_end(137).await;
}

#[tokio::test]
async fn no_monitor_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let error = Handle::connect(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
