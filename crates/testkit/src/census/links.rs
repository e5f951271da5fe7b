//! Network interfaces of the host, and network namespaces.

use std::collections::BTreeSet;
use std::path::Path;

/// Links that bear the engine's id: its bridges (`wh` + 4 digits of the id), host ends of veth pairs (`vh`), and the pairs
/// that carry networks without a parent (`wd`, `we`).
pub(super) fn of(engine: &str) -> Vec<String> {
    let short = engine.get(..4).unwrap_or(engine);
    let own = ["wh", "vh", "wd", "we"].map(|kind| format!("link {kind}{short}"));
    all().into_iter().filter(|link| own.iter().any(|own| link.starts_with(own))).collect()
}

/// All links of this network namespace.
pub(super) fn all() -> Vec<String> {
    names_in(Path::new("/sys/class/net")).map(|name| format!("link {name}")).collect()
}

/// All network namespaces that a process lives in, holds open or has a name for.
pub(super) fn namespaces() -> BTreeSet<String> {
    let mut found: BTreeSet<String> =
        names_in(Path::new("/run/netns")).map(|name| format!("netns name {name}")).collect();
    for pid in names_in(Path::new("/proc")).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let process = Path::new("/proc").join(pid);
        let held = names_in(&process.join("fd")).map(|fd| process.join("fd").join(fd));
        let own = std::iter::once(process.join("ns/net"));
        let targets = own.chain(held).filter_map(|link| std::fs::read_link(link).ok());
        let names = targets.map(|target| target.display().to_string()).filter(|target| target.starts_with("net:["));
        found.extend(names.map(|name| format!("netns {name}")));
    }
    found
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
