//! Where a container's cgroup is: `linux.cgroupsPath` in either of its two forms.

use wharf_types::{Error, Result};

/// The path below every hierarchy's root.
///
/// With the systemd form (`slice:prefix:name`) it is the path that systemd would give the unit; the folder is made there
/// directly, and systemd is not asked.
pub(super) fn resolve(path: &str, id: &str, systemd: bool) -> Result<String> {
    if systemd {
        let (slice, unit) = match path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("system.slice", format!("wharf-{id}.scope")),
            [slice, prefix, name] => (if slice.is_empty() { "system.slice" } else { slice }, unit(prefix, name)),
            _ => {
                return Err(Error::invalid(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                )));
            }
        };
        return Ok(format!("{}/{unit}", expand(slice)?));
    }
    match path {
        "" => Ok(format!("/{id}")),
        path if path.contains(':') => Err(Error::invalid(format!("invalid cgroupsPath {path:?}"))
            .with_hint("a path of systemd's form needs --systemd-cgroup")),
        path => Ok(format!("/{}", path.trim_matches('/'))),
    }
}

fn unit(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        (_, slice) if slice.ends_with(".slice") => slice.to_owned(),
        ("", name) => format!("{name}.scope"),
        (prefix, name) => format!("{prefix}-{name}.scope"),
    }
}

/// `a-b.slice` is at `/a.slice/a-b.slice` (systemd.slice(5)).
fn expand(slice: &str) -> Result<String> {
    let invalid = || Error::invalid(format!("invalid slice name: {slice}"));
    let name = slice.strip_suffix(".slice").ok_or_else(invalid)?;
    if name == "-" {
        return Ok(String::new());
    }
    if name.is_empty() || name.contains('/') || name.split('-').any(str::is_empty) {
        return Err(invalid());
    }
    let mut path = String::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        prefix.push_str(part);
        path.push_str(&format!("/{prefix}.slice"));
        prefix.push('-');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_understood() {
        assert_eq!(resolve("", "x", false).unwrap(), "/x");
        assert_eq!(resolve("/pods/x/", "x", false).unwrap(), "/pods/x");
        assert_eq!(resolve("pods/x", "x", false).unwrap(), "/pods/x");
        assert!(resolve("a:b:c", "x", false).is_err());
        assert_eq!(resolve("", "x", true).unwrap(), "/system.slice/wharf-x.scope");
        assert_eq!(resolve("a-b.slice:libpod:7", "x", true).unwrap(), "/a.slice/a-b.slice/libpod-7.scope");
        assert_eq!(resolve("-.slice::7", "x", true).unwrap(), "/7.scope");
        for bad in ["/a/b", "a:b", "x.scope:a:b", "a--b.slice:c:d", "../.slice:c:d"] {
            assert!(resolve(bad, "x", true).is_err(), "{bad}");
        }
    }
}
