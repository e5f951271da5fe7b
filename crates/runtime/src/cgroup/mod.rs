//! Control groups, version 1 and 2.
//!
//! Version 1 has one tree per controller, all of which get a folder of the same path; version 2 has one tree. A hybrid
//! host (version 1 with a version 2 tree for hugetlb or systemd beside it) is treated as version 1.

mod device_program;
mod devices;
mod files;
mod layout;
mod stats;
mod v1;
mod v2;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use wharf_types::{Error, Kind, Result, ResultExt};

use crate::spec::{ContainerSpec, Resources};

pub use layout::{Hierarchy, Layout};
pub use stats::Stats;

/// How long a kernel operation that ends by itself (a freeze, the last exit) is waited for: 14 steps that double from
/// 100 µs, 1.6 s in all.
const STEPS: u32 = 14;

/// A container's cgroup: one folder on version 2, one per hierarchy on version 1.
#[derive(Debug, Clone)]
pub struct Group {
    layout: Layout,
    path: String,
}

impl Group {
    /// Makes the container's cgroup with its limits and device rules.
    ///
    /// An empty one of that path is replaced; one that holds processes is a conflict. After a failure nothing is left.
    pub fn create(spec: &ContainerSpec) -> Result<Self> {
        Self::create_in(Layout::detect()?, spec)
    }

    pub(crate) fn create_in(layout: Layout, spec: &ContainerSpec) -> Result<Self> {
        let group = Self { layout, path: clean(&spec.cgroup.path)? };
        let result = match &group.layout {
            Layout::Legacy { hierarchies } => v1::create(hierarchies, &group.path, spec),
            Layout::Unified { root } => v2::create(root, &group.path, spec),
        };
        match result {
            Ok(()) => Ok(group),
            Err(error) if error.kind() == Kind::Conflict => Err(error),
            Err(error) => {
                // The first failure is the one to tell.
                let _cleaned = group.remove();
                Err(error)
            }
        }
    }

    /// An existing one, by its path below every hierarchy's root.
    pub fn open(path: &str) -> Result<Self> {
        Ok(Self { layout: Layout::detect()?, path: clean(path)? })
    }

    /// The path below every hierarchy's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Moves a process into it. On version 1 the kernel waits for an RCU grace period: [`crate::Starting`] and
    /// [`crate::exec`] let the process join by itself, which does not.
    pub fn join(&self, pid: i32) -> Result<()> {
        for folder in self.folders() {
            files::write(&folder.join("cgroup.procs"), &pid.to_string())
                .with_context(|| format!("cannot move process {pid} into {}", folder.display()))?;
        }
        Ok(())
    }

    /// The files by which a process joins on its own ([`join_self`]); empty where it is cloned into its cgroup.
    pub(crate) fn join_files(&self) -> Result<Vec<OwnedFd>> {
        match &self.layout {
            Layout::Unified { .. } => Ok(Vec::new()),
            Layout::Legacy { .. } => {
                let open = |folder: PathBuf| files::open_to_write(&folder.join("tasks"));
                self.folders().map(open).collect::<io::Result<_>>().context("cannot open the container's cgroup")
            }
        }
    }

    /// The folder to clone a process into, on version 2.
    pub(crate) fn clone_target(&self) -> Result<Option<OwnedFd>> {
        match &self.layout {
            Layout::Legacy { .. } => Ok(None),
            Layout::Unified { root } => {
                files::open_folder(&root.join(&self.path)).map(Some).context("cannot open the container's cgroup")
            }
        }
    }

    /// Changes the limits that are given, and leaves the others.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        match &self.layout {
            Layout::Legacy { hierarchies } => v1::set_limits(hierarchies, &self.path, resources),
            Layout::Unified { root } => v2::set_limits(&root.join(&self.path), resources),
        }
    }

    /// Stops all processes, and returns when they stand.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true).context("cannot freeze the container")
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false).context("cannot thaw the container")
    }

    /// Whether its processes are stopped.
    pub fn is_frozen(&self) -> Result<bool> {
        match &self.layout {
            Layout::Legacy { hierarchies } => v1::is_frozen(hierarchies, &self.path),
            Layout::Unified { root } => v2::is_frozen(&root.join(&self.path)),
        }
        .context("cannot ask whether the container is frozen")
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let set = || match &self.layout {
            Layout::Legacy { hierarchies } => v1::set_frozen(hierarchies, &self.path, frozen),
            Layout::Unified { root } => v2::set_frozen(&root.join(&self.path), frozen),
        };
        if wait_until(set)? { Ok(()) } else { Err(Error::unavailable("the kernel has not answered in time")) }
    }

    /// Kills every process in it, those that are born meanwhile too.
    pub fn kill_all(&self) -> Result<()> {
        if let Layout::Unified { root } = &self.layout
            && files::write(&root.join(&self.path).join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        let frozen = self.freeze().is_ok();
        for pid in self.pids()? {
            // It may have ended since.
            let _gone = wharf_sys::process::kill(pid, rustix::process::Signal::KILL.as_raw());
        }
        if frozen { self.thaw() } else { Ok(()) }
    }

    /// How many processes the out-of-memory killer ended in it.
    pub fn oom_kills(&self) -> Result<u64> {
        match &self.layout {
            Layout::Legacy { hierarchies } => v1::oom_kills(hierarchies, &self.path),
            Layout::Unified { root } => v2::oom_kills(&root.join(&self.path)),
        }
    }

    /// The processes in it, cgroups below included, in the caller's PID namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let Some(folder) = self.folders().next() else { return Ok(Vec::new()) };
        let mut pids = Vec::new();
        files::visit(&folder, &mut |folder| {
            let text = files::read_if_there(&folder.join("cgroup.procs"))?.unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            Ok(())
        })
        .context("cannot list the container's processes")?;
        Ok(pids)
    }

    /// Its figures.
    pub fn stats(&self) -> Result<Stats> {
        match &self.layout {
            Layout::Legacy { hierarchies } => stats::v1(hierarchies, &self.path),
            Layout::Unified { root } => stats::v2(&root.join(&self.path)),
        }
        .context("cannot read the container's figures")
    }

    /// Removes it and the cgroups below. That it is gone already is no error; goes on past errors and reports them all.
    pub fn remove(&self) -> Result<()> {
        let problems: Vec<String> = self.folders().filter_map(|folder| remove_tree(&folder).err()).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::system(problems.join("; "))) }
    }

    /// Removes it where nothing is in it: a folder that others share.
    pub fn remove_if_empty(&self) {
        for folder in self.folders() {
            // What is in use stays; what is gone is gone.
            drop(std::fs::remove_dir(folder));
        }
    }

    fn folders(&self) -> Box<dyn Iterator<Item = PathBuf> + '_> {
        match &self.layout {
            Layout::Legacy { hierarchies } => Box::new(hierarchies.iter().map(|tree| tree.mount.join(&self.path))),
            Layout::Unified { root } => Box::new(std::iter::once(root.join(&self.path))),
        }
    }
}

/// Moves the calling process, which must have one thread, through one of [`Group::join_files`].
///
/// A single thread that moves itself needs no stable view of its thread group: the kernel takes no global lock.
pub(crate) fn join_self(file: impl AsFd) -> Result<()> {
    rustix::io::write(file, b"0").map_err(io::Error::from).context("cannot join the container's cgroup")?;
    Ok(())
}

/// The path without a leading slash, so that it can be joined. Must stay below the hierarchy's root.
fn clean(path: &str) -> Result<String> {
    let relative = path.trim_matches('/');
    if relative.is_empty() || relative.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(Error::invalid(format!("invalid cgroup path: {path:?}")));
    }
    Ok(relative.to_owned())
}

/// A line of rdma.max.
fn rdma_line(device: &str, handles: Option<u32>, objects: Option<u32>) -> String {
    let part = |name: &str, value: Option<u32>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
    format!("{device}{}{}", part("hca_handle", handles), part("hca_object", objects))
}

fn remove_tree(folder: &std::path::Path) -> std::result::Result<(), String> {
    let removed = wait_until(|| match files::remove_with_children(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error.into()),
    });
    match removed {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("cannot remove cgroup {}: it still holds processes", folder.display())),
        Err(error) => Err(format!("cannot remove cgroup {}: {}", folder.display(), error.chain())),
    }
}

/// Tries until it is done, or gives up.
fn wait_until(mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    for step in 0..STEPS {
        if done()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_micros(100 << step));
    }
    done()
}
