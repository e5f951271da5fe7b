//! OCI runtimes on a bundle, for information: what others need for the container alone, without image or engine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use wharf_testkit::foreign::find;

use super::Setting;
use super::run::rootfs;
use crate::bench::floor::times;
use crate::bench::report::{Promise, Row};
use crate::command::quietly;

/// `run` of a bundle with a network namespace of its own, each in the column of the engine that uses it.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let folder = rootfs()?;
    let rounds = setting.rounds(20);
    let mut row = Row::new(
        "`run` of a bundle: `wharf runtime run`, `runc run`, `crun run`",
        "ms",
        Some(Promise::Part("podman", 1.0)),
    );
    let own = folder.path().join("wharf-runtime");
    std::os::unix::fs::symlink(fs::canonicalize(&setting.binary)?, &own)?;
    let own = own.to_string_lossy().into_owned();
    for (runtime, column) in [(own.as_str(), "wharf"), ("runc", "dockerd"), ("crun", "podman")] {
        if column != "wharf" && find(runtime).is_none() {
            continue;
        }
        match bundle(folder.path(), runtime).and_then(|()| runs(folder.path(), runtime, rounds)) {
            Ok(values) => row.add(column, values),
            Err(error) => println!("{runtime} cannot be measured: {error:#}"),
        }
    }
    Ok(vec![row])
}

/// Writes config.json: the runtime's own default without a terminal, running `true`.
fn bundle(folder: &Path, runtime: &str) -> Result<()> {
    drop(fs::remove_file(folder.join("config.json")));
    quietly(Command::new(runtime).arg("spec").current_dir(folder))?;
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["true"]);
    fs::write(folder.join("config.json"), config.to_string())?;
    Ok(())
}

/// In a mount namespace without cgroup v2, which crun refuses beside v1; the runs are timed inside it.
fn runs(folder: &Path, runtime: &str, rounds: u32) -> Result<Vec<f64>> {
    let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", hide, "sh"])
        .arg(std::env::current_exe()?)
        .arg("floor")
        .arg("--folder")
        .arg(folder);
    command.args(["--network", "host", "--runs", &rounds.to_string(), "--", runtime, "run", "--bundle"]);
    times(&quietly(command.arg(folder).arg(format!("wharf-bench-{}", std::process::id())))?)
}
