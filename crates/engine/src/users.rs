//! `--userns-remap`: which users of the host stand behind those of containers.
//!
//! /etc/subuid and /etc/subgid give ranges of ids to users (subuid(5)). Containers' user 0 is the first id of the range.

use std::path::Path;

use wharf_runtime::spec::{IdMapping, IdRange};
use wharf_types::{Error, Result, ResultExt};

/// The user that `default` means, as with dockerd.
const DEFAULT_USER: &str = "dockremap";
/// How many ids are set aside for it where it has none.
const COUNT: u32 = 65_536;
/// Below this, ids belong to the host's own users (login.defs(5), SUB_UID_MIN).
const FIRST: u32 = 100_000;

/// The mapping that `text` asks for: `default`, `user` or `user:group`, by name or number. For `default`, ranges are set
/// aside in the two files if there are none yet.
///
/// # Errors
/// `InvalidParameter` for a user that does not exist or has no range.
pub fn remap(text: &str) -> Result<IdMapping> {
    let etc = Path::new("/etc");
    if text == "default" {
        reserve(etc)?;
    }
    let (user, group) = match text {
        "default" => (DEFAULT_USER, DEFAULT_USER),
        other => other.split_once(':').unwrap_or((other, other)),
    };
    let (passwd, groups) = (read(&etc.join("passwd"))?, read(&etc.join("group"))?);
    let uids = find(&read(&etc.join("subuid"))?, &aliases(&passwd, user), "subuid", user)?;
    let gids = find(&read(&etc.join("subgid"))?, &aliases(&groups, group), "subgid", group)?;
    Ok(IdMapping { uids, gids })
}

fn read(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Name and number, whichever of the two was given.
fn aliases(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = line.into_iter().find(|line| line.first() == Some(&name) || line.get(2) == Some(&name));
    let both = found.map(|line| vec![line[0].to_owned(), line.get(2).copied().unwrap_or_default().to_owned()]);
    both.unwrap_or_else(|| vec![name.to_owned()])
}

/// The ranges of a user, one after the other from id 0 on inside.
fn find(table: &str, names: &[String], file: &str, name: &str) -> Result<Vec<IdRange>> {
    let mut inside = 0_u32;
    let mut ranges = Vec::new();
    for (owner, outside, size) in entries(table) {
        if size > 0 && names.iter().any(|name| *name == owner) {
            ranges.push(IdRange { inside, outside, size });
            inside = inside.saturating_add(size);
        }
    }
    if ranges.is_empty() {
        return Err(Error::invalid(format!("no {file} ranges found for user {name:?}"))
            .with_hint(format!("add a line such as {name}:100000:65536 to /etc/{file}")));
    }
    Ok(ranges)
}

fn entries(table: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    table.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let (owner, first, count) = (parts.next()?, parts.next()?, parts.next()?);
        Some((owner, first.trim().parse().ok()?, count.trim().parse().ok()?))
    })
}

/// Sets ranges aside for the default user that nobody has.
fn reserve(etc: &Path) -> Result<()> {
    for file in ["subuid", "subgid"] {
        let path = etc.join(file);
        let table = read(&path)?;
        if entries(&table).any(|(owner, ..)| owner == DEFAULT_USER) {
            continue;
        }
        let line = format!("{DEFAULT_USER}:{}:{COUNT}\n", free(&table));
        let newline = if table.is_empty() || table.ends_with('\n') { "" } else { "\n" };
        std::fs::write(&path, format!("{table}{newline}{line}"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The first id above all ranges.
fn free(table: &str) -> u32 {
    entries(table).map(|(_, first, count)| first.saturating_add(count)).fold(FIRST, u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "alice:100000:65536\n1001:200000:1000\nbob:165536:10\nbob:300000:20\nbroken\n";

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let passwd = "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\ncarol:x:1001:1001::/:/bin/sh\n";
        assert_eq!(aliases(passwd, "1000"), ["alice", "1000"]);
        let range = |inside, outside, size| IdRange { inside, outside, size };
        let of = |name: &str| find(TABLE, &aliases(passwd, name), "subuid", name);
        assert_eq!(of("1000").unwrap(), [range(0, 100_000, 65_536)]);
        assert_eq!(of("carol").unwrap(), [range(0, 200_000, 1000)]);
        assert_eq!(of("bob").unwrap(), [range(0, 165_536, 10), range(10, 300_000, 20)]);
        assert!(of("root").unwrap_err().to_string().contains("no subuid ranges found for user \"root\""));
    }

    #[test]
    fn the_default_user_gets_what_nobody_has() {
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("subuid"), TABLE.trim_end()).unwrap();
        for _ in 0..2 {
            reserve(etc.path()).unwrap();
        }
        let read = |file: &str| std::fs::read_to_string(etc.path().join(file)).unwrap();
        assert_eq!(read("subuid"), format!("{TABLE}dockremap:300020:65536\n"));
        assert_eq!(read("subgid"), "dockremap:100000:65536\n");
    }
}
