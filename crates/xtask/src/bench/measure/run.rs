//! `run --rm IMAGE true` from start to end of each engine's command line, and the floor below it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Setting, timed};
use crate::bench::engines::{Engine, IMAGE};
use crate::bench::floor::{self, Bridge, Network};
use crate::bench::report::{Promise, Row};

const NETWORKS: [(&str, Network, f64); 3] =
    [("bridge", Network::Veth, 12.0), ("none", Network::Loopback, 15.0), ("host", Network::Host, 15.0)];

/// One row for each network against dockerd, and one against the floor.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let folder = rootfs()?;
    let bridge = Bridge::new()?;
    let mut rows = Vec::new();
    for (network, depth, part) in NETWORKS {
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); setting.engines.len()];
        let mut floors = Vec::new();
        let mut broken = vec![false; setting.engines.len()];
        // The first round warms caches and is not counted.
        for round in 0..=setting.rounds(30) {
            let time = floor::measure(folder.path(), depth, false, bridge.name(), 3)?;
            if round > 0 {
                floors.extend(time);
            }
            for (number, engine) in
                setting.engines.iter().enumerate().filter(|(number, _)| !broken[*number]).collect::<Vec<_>>()
            {
                match once(engine.as_ref(), network) {
                    Ok(time) if round > 0 => values[number].push(time),
                    Ok(_) => {}
                    Err(error) if number > 0 => {
                        println!("{} cannot do --network {network}: {error:#}", engine.name());
                        broken[number] = true;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let what = format!("`run --rm IMAGE true`, {network}");
        let mut row = Row::new(what.clone(), "ms", Some(Promise::Part("dockerd", part)));
        // Nothing is promised for the host's network: its floor is so low that the client's own start is most of the rest.
        let beside = (depth != Network::Host).then_some(Promise::Times("floor", 4.0));
        let mut beside_floor = Row::new(what, "ms", beside);
        for (engine, times) in setting.engines.iter().zip(values) {
            if engine.name() == "wharf" {
                beside_floor.add("wharf", times.clone());
            }
            row.add(engine.name(), times);
        }
        beside_floor.add("floor", floors);
        rows.extend([row, beside_floor]);
    }
    Ok(rows)
}

fn once(engine: &dyn Engine, network: &str) -> Result<f64> {
    let mut command = engine.cli(&["run", "--rm", "--network", network, IMAGE, "true"]);
    let (time, output) = timed(|| Ok(command.stdin(Stdio::null()).output()?))?;
    ensure!(output.status.success(), "{}: {}", engine.name(), String::from_utf8_lossy(&output.stderr));
    Ok(time)
}

/// The golden root file system as a folder, and folders for an overlay.
pub fn rootfs() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("wharf-bench-floor-").tempdir()?;
    for name in ["rootfs", "upper", "work", "merged"] {
        std::fs::create_dir(folder.path().join(name))?;
    }
    unpack(&folder.path().join("rootfs"))?;
    Ok(folder)
}

fn unpack(folder: &Path) -> Result<()> {
    let archive = wharf_testkit::golden::busybox_rootfs();
    tar::Archive::new(archive).unpack(folder).context("cannot unpack the golden image")?;
    let status = Command::new(folder.join("bin/true")).status()?;
    ensure!(status.success(), "the golden image does not work: {status}");
    Ok(())
}
