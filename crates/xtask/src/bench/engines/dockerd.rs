//! Docker's engine, on a socket, folders and a bridge of its own.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use wharf_testkit::census::{Process, processes};
use wharf_testkit::foreign::find;
use wharf_testkit::http::Http;
use wharf_testkit::subnet::Subnet;
use wharf_testkit::wait;

use super::{Engine, import, outside_containers};
use crate::command::{quietly, words};

const PATIENCE: Duration = Duration::from_secs(60);

struct Dockerd {
    folder: TempDir,
    bridge: String,
    subnet: Subnet,
    process: Option<Child>,
}

/// Starts dockerd where it and its command line are installed.
pub fn start() -> Result<Option<Box<dyn Engine>>> {
    if find("dockerd").is_none() || find("docker").is_none() || find("iptables").is_none() || find("ip").is_none() {
        return Ok(None);
    }
    let subnet = Subnet::take();
    let [_, b, c, _] = subnet.address(0).octets();
    let mut dockerd = Dockerd {
        folder: tempfile::Builder::new().prefix("wharf-bench-dockerd-").tempdir()?,
        bridge: format!("wd{b:02x}{c:02x}"),
        subnet,
        process: None,
    };
    // A bridge of its own: with the default one it would take over, or remove, another dockerd's docker0.
    quietly(&mut words(&format!("ip link add {} type bridge", dockerd.bridge)))?;
    quietly(&mut words(&format!("ip address add {}/24 dev {}", dockerd.subnet.address(1), dockerd.bridge)))?;
    quietly(&mut words(&format!("ip link set {} up", dockerd.bridge)))?;
    let ready = dockerd.start().and_then(|()| import(&dockerd));
    match ready {
        Ok(()) => Ok(Some(Box::new(dockerd))),
        Err(error) => {
            Box::new(dockerd).finish()?;
            Err(error)
        }
    }
}

impl Dockerd {
    fn socket_path(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn below(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.below("log")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    }
}

impl Engine for Dockerd {
    fn name(&self) -> &'static str {
        "dockerd"
    }

    fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", format!("unix://{}", self.below("docker.sock"))).args(arguments);
        command
    }

    fn socket(&self) -> Option<PathBuf> {
        Some(self.socket_path())
    }

    fn processes(&self) -> Vec<Process> {
        let folder = self.folder.path().display().to_string();
        // dockerd and the containerd it starts name its folder, shims too; a proxy names nothing but is dockerd's child.
        let own = self.process.as_ref().map_or(0, |process| process.id().cast_signed());
        outside_containers(processes().filter(|process| process.command.contains(&folder) || process.parent == own))
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            quietly(&mut words(&format!("kill {}", process.id())))?;
            wait::within(PATIENCE, || process.try_wait().ok().flatten()).context("dockerd does not end")?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.below("log"))?;
        let mut command = Command::new("dockerd");
        command.args(["--host", &format!("unix://{}", self.below("docker.sock"))]);
        command.args(["--data-root", &self.below("data"), "--exec-root", &self.below("exec")]);
        command.args(["--pidfile", &self.below("pid"), "--bridge", &self.bridge]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        self.process = Some(process);
        let socket = self.socket_path();
        let answers = || Http::new(&socket).get("/_ping").ok().filter(|answer| answer.status == 200).map(drop);
        wait::within(PATIENCE, answers).with_context(|| format!("dockerd does not answer\n{}", self.log()))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.take_down()
    }
}

impl Drop for Dockerd {
    /// When a measure fails half-way, dockerd must not stay.
    fn drop(&mut self) {
        if self.process.is_some()
            && let Err(error) = self.take_down()
        {
            eprintln!("{error:#}");
        }
    }
}

impl Dockerd {
    fn take_down(&mut self) -> Result<()> {
        let mut problems = Vec::new();
        let containers = self.cli(&["ps", "-aq"]).output();
        for id in containers.iter().flat_map(|output| std::str::from_utf8(&output.stdout)).flat_map(str::lines) {
            problems.extend(quietly(&mut self.cli(&["rm", "-f", id])).err());
        }
        problems.extend(self.stop().err());
        problems.extend(quietly(&mut words(&format!("ip link delete {}", self.bridge))).err());
        problems.extend(remove_cgroups("docker").err());
        problems.extend(unmount_below(self.folder.path()).err());
        ensure!(problems.is_empty(), "dockerd could not be taken down: {problems:?}");
        Ok(())
    }
}

/// Engines leave their own cgroup behind in every hierarchy; it is removed unless somebody else has something in it.
pub fn remove_cgroups(name: &str) -> Result<()> {
    for group in wharf_testkit::census::hierarchies().iter().map(|hierarchy| hierarchy.join(name)) {
        for below in fs::read_dir(&group).into_iter().flatten().flatten() {
            drop(fs::remove_dir(below.path()));
        }
        match fs::remove_dir(&group) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", group.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Unmounts what an engine has left mounted below its folder.
pub fn unmount_below(folder: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let points = table.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)?;
    }
    Ok(())
}
