//! A process that changes the store is killed at every system call that makes something durable, visible or gone: what
//! is present afterwards is complete, and nothing that was acknowledged is lost.
//!
//! This is the death of a process, not of the machine: that files reach the disk before their names do is the order of
//! the calls, which the kill before each of them shows too.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use support::{docker_archive, layer, reference};
use wharf_image::{Flaw, ImageStore, ImportOptions, Look, RemoveOptions};

/// Set for the process that is killed: the folder of its store.
const VICTIM: &str = "WHARF_TEST_CRASH_STORE";
/// What it is killed at, before the call has any effect.
const CALLS: [&str; 8] = ["syncfs", "fdatasync", "fsync", "renameat", "renameat2", "mkdirat", "unlinkat", "utimensat"];

fn archive(name: &str, file: &str) -> Vec<u8> {
    docker_archive(name, &[layer(&[("base", b"shared")]), layer(&[(file, file.as_bytes())])])
}

/// Every kind of change, in a process of its own.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let store = ImageStore::open(Path::new(&folder)).unwrap();
    store.load(&archive("new:1", "new")[..], None, &|_| {}).unwrap();
    store.tag("new:1", &reference("also:1")).unwrap();
    store.import(&layer(&[("imported", b"x")])[..], &ImportOptions::default()).unwrap();
    store.give_up_blobs(&mut |_: &wharf_types::Digest| true).unwrap();
    store.remove("old:2", RemoveOptions::default(), &|_| Vec::new()).unwrap();
    store.prune(&|image| image.tags.is_empty(), &|_| Vec::new(), &mut |_| true).unwrap();
    store.check(true, &|_| false, &mut |_| true).unwrap();
}

#[test]
fn a_kill_at_any_step_leaves_a_whole_store() {
    let Some(strace) = wharf_testkit::foreign::need("strace") else { return };
    let mut kills = 0;
    for call in CALLS {
        for number in 1.. {
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let store = ImageStore::open(folder.path()).unwrap();
            store.load(&archive("old:1", "kept")[..], None, &|_| {}).unwrap();
            store.load(&archive("old:2", "removed")[..], None, &|_| {}).unwrap();
            drop(store);
            let status = killed_at(&strace, folder.path(), call, number);
            look(folder.path(), &format!("{call} {number}"));
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9), "{call} {number}: the victim has ended by itself");
            kills += 1;
        }
    }
    assert!(kills > 20, "there were {kills} kills only");
}

fn killed_at(strace: &Path, folder: &Path, call: &str, number: u32) -> ExitStatus {
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
    command.arg("-e").arg(format!("inject={call}:signal=KILL:when={number}"));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "victim", "--test-threads=1"]);
    command.env(VICTIM, folder).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

/// Opens what the victim has left.
fn look(folder: &Path, when: &str) {
    let store = ImageStore::open(folder).unwrap();
    let mut flaws = Vec::new();
    store
        .check(false, &|_| false, &mut |look| {
            flaws.extend(if let Look::Found(found) = look { Some(found) } else { None });
            true
        })
        .unwrap();
    flaws.retain(|found| found.flaw != Flaw::Orphan);
    assert_eq!(flaws, [], "{when}");
    let kept = store.resolve("old:1").unwrap();
    assert_eq!(std::fs::read(kept.layers[0].join("kept")).unwrap(), b"kept", "{when}");
    for name in ["old:1", "new:1", "also:1"].into_iter().filter(|name| store.resolve(name).is_ok()) {
        store.save(&[name], None, std::io::sink()).unwrap();
    }
    store.collect().unwrap();
    store.load(&archive("new:1", "new")[..], None, &|_| {}).unwrap();
    for unfinished in ["content/ingest", "layers/ingest"] {
        assert_eq!(std::fs::read_dir(folder.join(unfinished)).unwrap().count(), 0, "{when}: {unfinished}");
    }
}
