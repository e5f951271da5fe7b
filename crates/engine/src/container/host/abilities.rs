//! What this host's kernel can limit.

use std::path::Path;
use std::sync::OnceLock;

use wharf_runtime::cgroup::Layout;

/// What is there; looked up once.
#[derive(Debug, Clone, Default)]
pub struct Abilities {
    /// Memory and swap together.
    pub swap: bool,
    /// Swappiness per container (version 1).
    pub swappiness: bool,
    /// Containers that wait instead of being killed when memory runs out (version 1).
    pub no_oom_kill: bool,
    /// Real-time scheduling per container (version 1).
    pub realtime: bool,
    /// Block I/O by weight.
    pub weight: bool,
    /// The same by device.
    pub weight_device: bool,
    /// Rates of block I/O.
    pub throttle: bool,
    /// Numbers of processes.
    pub pids: bool,
    /// Processors, `0-3`; empty if unknown.
    pub processors: String,
    /// Memory nodes; empty if unknown.
    pub nodes: String,
}

impl Abilities {
    /// Those of this host.
    pub fn of_this_host() -> &'static Self {
        static FOUND: OnceLock<Abilities> = OnceLock::new();
        FOUND.get_or_init(|| match Layout::detect() {
            Ok(Layout::Unified { root }) => Self::unified(&root),
            Ok(Layout::Legacy { hierarchies }) => {
                let mount = |name: &str| {
                    let found = hierarchies.iter().find(|one| one.controllers.iter().any(|own| own == name));
                    found.map(|one| one.mount.clone())
                };
                let has = |controller: &str, file: &str| mount(controller).is_some_and(|mount| there(&mount, file));
                let text = |file: &str| mount("cpuset").map_or_else(String::new, |mount| read(&mount.join(file)));
                Self {
                    swap: has("memory", "memory.memsw.limit_in_bytes"),
                    swappiness: has("memory", "memory.swappiness"),
                    no_oom_kill: has("memory", "memory.oom_control"),
                    realtime: has("cpu", "cpu.rt_period_us"),
                    weight: has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight"),
                    weight_device: has("blkio", "blkio.weight_device") || has("blkio", "blkio.bfq.weight_device"),
                    throttle: has("blkio", "blkio.throttle.read_bps_device"),
                    pids: mount("pids").is_some(),
                    processors: text("cpuset.cpus"),
                    nodes: text("cpuset.mems"),
                }
            }
            Err(_) => Self::default(),
        })
    }

    fn unified(root: &Path) -> Self {
        let controllers = read(&root.join("cgroup.controllers"));
        let has = |name: &str| controllers.split_whitespace().any(|own| own == name);
        Self {
            swap: has("memory"),
            weight: has("io"),
            weight_device: has("io"),
            throttle: has("io"),
            pids: has("pids"),
            processors: read(&root.join("cpuset.cpus.effective")),
            nodes: read(&root.join("cpuset.mems.effective")),
            ..Self::default()
        }
    }
}

/// The root of a hierarchy lacks some files that every cgroup below has.
fn there(mount: &Path, file: &str) -> bool {
    let below = || std::fs::read_dir(mount).ok()?.flatten().find(|entry| entry.path().is_dir());
    mount.join(file).exists() || below().is_some_and(|folder| folder.path().join(file).exists())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Whether the numbers of a list such as `0-2,4` are among those of another; `None` where `wanted` is no list.
pub fn within(wanted: &str, available: &str) -> Option<bool> {
    let available = numbers(available)?;
    numbers(wanted).map(|wanted| wanted.iter().all(|(first, last)| covers(&available, *first, *last)))
}

fn covers(ranges: &[(u32, u32)], first: u32, last: u32) -> bool {
    (first..=last).all(|number| ranges.iter().any(|(from, to)| (*from..=*to).contains(&number)))
}

/// No machine has more; a number without end must not be counted through.
const MOST: u32 = 1 << 16;

fn numbers(text: &str) -> Option<Vec<(u32, u32)>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        (first <= last && last < MOST).then_some((first, last))
    };
    text.split(',').filter(|part| !part.is_empty()).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_compared() {
        assert_eq!(within("0,1", "0-1"), Some(true));
        assert_eq!(within("0-3", "0-1,2,3"), Some(true));
        assert_eq!(within("2", "0-1"), Some(false));
        assert_eq!(within("0-4000", "0-1"), Some(false));
        for wrong in ["x", "1-0", "1-", "-", "0-99999999"] {
            assert_eq!(within(wrong, "0-1"), None, "{wrong}");
        }
    }
}
