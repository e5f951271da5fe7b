//! Which cgroup hierarchies this host has mounted, and where.

use std::path::PathBuf;

use wharf_types::{Error, Result, ResultExt};

/// Controllers of version 1, as they stand in a mount's options.
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// The host's cgroup tree or trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Version 2 only.
    Unified {
        /// Where it is mounted.
        root: PathBuf,
    },
    /// Version 1, perhaps with a version 2 tree beside it, which is left alone.
    Legacy {
        /// All trees, in the order in which they were mounted.
        hierarchies: Vec<Hierarchy>,
    },
}

/// One tree of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Name of its mount point, for instance `cpu,cpuacct`.
    pub name: String,
    /// Its controllers, or the name of one that has none (`systemd`).
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

impl Hierarchy {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

impl Layout {
    /// Reads the mount table of this process.
    pub fn detect() -> Result<Self> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
        Self::from_table(&table)
    }

    fn from_table(table: &str) -> Result<Self> {
        let mut unified = None;
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for (mount, kind, options) in table.lines().filter_map(cgroup_mount) {
            if kind == "cgroup2" {
                unified.get_or_insert(mount);
                continue;
            }
            let controllers = controllers(options);
            if !controllers.is_empty() && !hierarchies.iter().any(|known| known.controllers == controllers) {
                let name = mount.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                hierarchies.push(Hierarchy { name, controllers, mount });
            }
        }
        match unified {
            _ if hierarchies.iter().any(|tree| tree.has("memory") || tree.has("cpu") || tree.has("pids")) => {
                Ok(Self::Legacy { hierarchies })
            }
            Some(root) => Ok(Self::Unified { root }),
            None => Err(Error::unavailable("no cgroup file system is mounted")
                .with_hint("mount one: mount -t cgroup2 none /sys/fs/cgroup")),
        }
    }
}

/// Mount point, file system type and super block options of a line about a cgroup.
fn cgroup_mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    if !right.starts_with("cgroup") {
        return None;
    }
    let mut right = right.split(' ');
    let (kind, _source, options) = (right.next()?, right.next()?, right.next()?);
    Some((PathBuf::from(unescape(left.split(' ').nth(4)?)), kind, options))
}

fn controllers(options: &str) -> Vec<String> {
    let name = |option: &str| match option.strip_prefix("name=") {
        Some(name) => Some(name.to_owned()),
        None => CONTROLLERS.contains(&option).then(|| option.to_owned()),
    };
    options.split(',').filter_map(name).collect()
}

/// The kernel writes space, tab, newline and backslash as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_version_2_host() {
        let table = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Layout::from_table(table).unwrap(), Layout::Unified { root: "/sys/fs/cgroup".into() });
    }

    #[test]
    fn a_hybrid_host_is_version_1() {
        let table = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                     33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                     34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                     35 31 0:29 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct\n";
        let Layout::Legacy { hierarchies } = Layout::from_table(table).unwrap() else { panic!("not version 1") };
        assert_eq!(hierarchies.len(), 2);
        assert_eq!(hierarchies[0].name, "cpu,cpuacct");
        assert_eq!(hierarchies[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(hierarchies[1].controllers, ["systemd"]);
    }

    #[test]
    fn systemds_own_tree_alone_does_not_make_version_1() {
        let table = "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                     34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert!(matches!(Layout::from_table(table).unwrap(), Layout::Unified { .. }));
    }

    #[test]
    fn no_cgroups_at_all_is_told() {
        assert_eq!(
            Layout::from_table("1 0 0:1 / / rw - ext4 /dev/vda rw\n").unwrap_err().kind(),
            wharf_types::Kind::Unavailable
        );
    }
}
