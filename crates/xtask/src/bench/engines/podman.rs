//! Podman, which has no engine process: its command line alone, with folders of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;
use wharf_testkit::census::{Process, processes};
use wharf_testkit::foreign::find;

use super::{Engine, import, outside_containers};

struct Podman {
    folder: TempDir,
}

/// Prepares podman where it is installed.
pub fn start() -> Result<Option<Box<dyn Engine>>> {
    if find("podman").is_none() {
        return Ok(None);
    }
    let podman = Podman { folder: tempfile::Builder::new().prefix("wharf-bench-podman-").tempdir()? };
    std::fs::write(podman.folder.path().join("containers.conf"), CONFIGURATION)?;
    import(&podman)?;
    Ok(Some(Box::new(podman)))
}

/// Where CAP_SYS_RESOURCE is missing even for root, podman's own choice of limits is refused.
const CONFIGURATION: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";

impl Engine for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn cli(&self, arguments: &[&str]) -> Command {
        // crun refuses a machine that has both versions of cgroups mounted, so the second is hidden from it.
        let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec podman \"$@\"";
        let mut command = Command::new("unshare");
        command.env("CONTAINERS_CONF", self.folder.path().join("containers.conf"));
        command.args(["--mount", "sh", "-c", hide, "podman"]);
        command.arg("--root").arg(self.folder.path().join("root")).arg("--runroot").arg(self.folder.path().join("run"));
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]).args(arguments);
        command
    }

    fn socket(&self) -> Option<PathBuf> {
        None
    }

    fn processes(&self) -> Vec<Process> {
        let folder = self.folder.path().display().to_string();
        outside_containers(processes().filter(|process| process.command.contains(&folder)))
    }

    fn stop(&mut self) -> Result<()> {
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        crate::command::quietly(&mut self.cli(&["rm", "--all", "--force", "--time", "0"]))?;
        super::dockerd::unmount_below(self.folder.path())?;
        super::dockerd::remove_cgroups("libpod_parent")?;
        // Its bridge stays as long as its network does.
        if find("ip").is_some() {
            drop(Command::new("ip").args(["link", "delete", "podman0"]).output());
            drop(Command::new("ip").args(["link", "delete", "cni-podman0"]).output());
        }
        Ok(())
    }
}
