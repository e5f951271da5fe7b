//! A cgroup in each hierarchy.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Makes a cgroup in every mounted hierarchy and puts the process there.
pub fn enter(pid: i32) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for hierarchy in wharf_testkit::census::hierarchies() {
        let group = hierarchy.join(format!("wharf-floor-{pid}"));
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        // A new group of v1's cpuset has no processors until it is given some.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.ends_with("cpuset") {
                fs::write(group.join(file), fs::read(hierarchy.join(file))?)?;
            }
        }
        fs::write(group.join("cgroup.procs"), pid.to_string())?;
        made.push(group);
    }
    Ok(made)
}

/// Removes them.
pub fn leave(groups: &[PathBuf]) -> Result<()> {
    groups
        .iter()
        .try_for_each(|group| fs::remove_dir(group).with_context(|| format!("cannot remove {}", group.display())))
}
