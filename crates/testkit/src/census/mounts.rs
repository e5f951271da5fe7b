//! Mounts, from /proc/self/mountinfo.

use std::path::Path;

/// Mounts whose mount point or source is below `folder`.
pub(super) fn below(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    all().filter(|mount| mount.contains(&folder)).collect()
}

/// All mounts, as `mount POINT TYPE SOURCE OPTIONS`.
pub(super) fn all() -> impl Iterator<Item = String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lines: Vec<String> = table.lines().filter_map(describe).collect();
    lines.into_iter()
}

/// A line is `id parent major:minor root point options optional... - type source super-options` (proc(5)).
fn describe(line: &str) -> Option<String> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    Some(format!("mount {point} {what} {root}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_becomes_point_type_and_source() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(super::describe(line).unwrap(), "mount /mnt2 ext3 /dev/root rw,errors=continue /mnt1");
    }
}
