//! What there is on the machine that an engine may have made: taken after a test, it must be empty for that engine;
//! taken before and after all tests, it must be the same.

mod cgroups;
mod files;
mod links;
mod mounts;
mod processes;
mod sockets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cgroups::hierarchies;
pub use processes::{Process, processes};

/// How long the kernel may take to destroy what nobody holds any more: network namespaces, with them veth pairs, and
/// cgroups of dead processes go away in its own time.
const KERNEL_PATIENCE: Duration = Duration::from_secs(15);

/// The marks by which things are known to belong to one engine.
#[derive(Debug, Clone)]
pub struct Marks {
    /// A folder above the engine's root, run folder and socket.
    pub folder: PathBuf,
    /// Where its cgroups are, from each hierarchy's root.
    pub cgroup: String,
    /// The engine's id, part of the names of its links and its nftables table; `None` if the engine never answered.
    pub engine: Option<String>,
}

/// Everything that bears the engine's marks, one line each, sorted.
pub fn of_engine(marks: &Marks) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(mounts::below(&marks.folder));
    found.extend(cgroups::below(&marks.cgroup));
    found.extend(processes::of(marks).iter().map(|process| format!("process {process}")));
    found.extend(sockets::below(&marks.folder));
    if let Some(engine) = &marks.engine {
        found.extend(links::of(engine));
        found.extend(
            tables().filter(|table| table.contains(engine.as_str())).map(|table| format!("nftables table {table}")),
        );
    }
    found.sort();
    found
}

/// As [`of_engine`], after giving the kernel a bounded time to finish what it does on its own.
pub fn leftovers(marks: &Marks) -> Vec<String> {
    crate::wait::within(KERNEL_PATIENCE, || of_engine(marks).is_empty().then(Vec::new))
        .unwrap_or_else(|| of_engine(marks))
}

/// Files below the folder of a stopped engine that belong to no stored object: an engine without containers must have
/// none of their folders, no monitor folder and no half-written blob.
pub fn stray_files(root: &Path, run: &Path) -> Vec<String> {
    files::stray(root, run)
}

/// Everything on the machine that any engine could have made, whoever it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// Takes the census.
    pub fn take() -> Self {
        let mut found = BTreeSet::new();
        found.extend(mounts::all());
        found.extend(cgroups::all());
        found.extend(links::all());
        found.extend(links::namespaces());
        found.extend(tables().map(|table| format!("nftables table {table}")));
        found.extend(processes::of_wharf().map(|process| format!("process {process}")));
        Self(found)
    }

    /// What is there now and was not then, once the kernel has had its time.
    pub fn since(&self) -> Vec<String> {
        let new = || -> Vec<String> { Self::take().0.difference(&self.0).cloned().collect() };
        crate::wait::within(KERNEL_PATIENCE, || new().is_empty().then(Vec::new)).unwrap_or_else(new)
    }
}

fn tables() -> impl Iterator<Item = String> {
    // A kernel without nftables has no tables.
    crate::nft::tables().unwrap_or_default().into_iter()
}
