//! Removal by force of what a failed test's engine has left, so that one failure does not make others.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::census::{self, Marks};
use crate::wait;

/// Kills, unmounts and deletes everything that bears the marks; gives up quietly after a while, for the census of the
/// whole run finds what is left.
pub fn by_force(marks: &Marks) {
    wait::within(Duration::from_secs(10), || {
        for line in census::of_engine(marks) {
            remove(&line);
        }
        census::of_engine(marks).is_empty().then_some(())
    });
}

/// Sends SIGKILL to one process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended by itself.
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}

/// Removes what one line of the census names.
fn remove(line: &str) {
    let Some((kind, rest)) = line.split_once(' ') else { return };
    let name = rest.split(' ').next().unwrap_or_default();
    match kind {
        "process" => drop(name.parse().map(kill)),
        "mount" => drop(unmount(name, UnmountFlags::DETACH)),
        "cgroup" => remove_cgroup(Path::new(rest)),
        "link" => quietly("ip", &["link", "delete", name]),
        "nftables" => quietly("nft", &["delete", "table", "inet", rest.trim_start_matches("table ")]),
        _ => {}
    }
}

/// A cgroup goes when its own and all below are empty; its processes are killed by their own lines, and frozen ones die
/// when they thaw.
fn remove_cgroup(folder: &Path) {
    for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if folder.join(file).exists() {
            drop(std::fs::write(folder.join(file), thawed));
        }
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    drop(std::fs::remove_dir(folder));
}

fn quietly(program: &str, arguments: &[&str]) {
    drop(Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status());
}
