//! Kernel parameters below `net.`, of the calling thread's network namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharf_types::{Error, Result, ResultExt};

/// Writes a parameter given as a path below `/proc/sys/net`.
pub(crate) fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(PathBuf::from("/proc/sys/net").join(path), value)
}

/// Whether the kernel has IPv6 at all: not when it was switched off at boot.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Writes a parameter that the kernel may lack (IPv6 switched off at boot): then there is nothing to set.
pub(crate) fn write_if_present(path: &str, value: &str) -> Result<()> {
    match write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.with_context(|| format!("cannot set net/{path} to {value}")),
    }
}

/// Sets a switch to 1 unless it is on; what someone else set is left alone.
pub(crate) fn switch_on(path: &str) -> Result<()> {
    if read(path)?.trim() == "0" {
        write(path, "1").with_context(|| format!("cannot set net/{path} to 1"))?;
    }
    Ok(())
}

/// Reads a parameter.
pub(crate) fn read(path: &str) -> Result<String> {
    fs::read_to_string(PathBuf::from("/proc/sys/net").join(path)).with_context(|| format!("cannot read net/{path}"))
}

/// The path of a parameter in its dotted form, `net.ipv4.ip_forward`. As with sysctl(8), a slash in the name stands
/// for a dot of an interface's name.
///
/// # Errors
/// `InvalidParameter` for a name outside of `net.` or one that would leave the folder.
pub(crate) fn path_of(name: &str) -> Result<String> {
    let swapped: String = name
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect();
    let path = swapped.strip_prefix("net/").filter(|path| path.split('/').all(is_plain));
    path.map(str::to_owned).ok_or_else(|| Error::invalid(format!("sysctl '{name}' is not a network parameter")))
}

fn is_plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_paths_that_stay_inside() {
        assert_eq!(path_of("net.ipv4.ip_forward").unwrap(), "ipv4/ip_forward");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding").unwrap(), "ipv4/conf/eth0.1/forwarding");
        for name in ["kernel.shmmax", "net", "net.", "net.ipv4.//.x", "net./.x", "net..x", "netx.y"] {
            assert!(path_of(name).is_err(), "{name}");
        }
    }
}
