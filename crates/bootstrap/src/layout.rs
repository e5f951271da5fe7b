//! The merged `/usr`: `/bin`, `/sbin` and `/lib*` are links into `/usr`, and what packages ship there goes to `/usr`.

/// Which folders of the root are links, and whether a package brings the links itself.
#[derive(Debug)]
pub struct Layout {
    links: &'static [&'static str],
}

impl Layout {
    /// The links of an architecture, as Debian's installer makes them.
    pub fn of(architecture: &str) -> Self {
        let links: &[&str] = match architecture {
            "amd64" | "x32" => &["bin", "lib", "lib32", "lib64", "libx32", "sbin"],
            "i386" => &["bin", "lib", "lib64", "libx32", "sbin"],
            "ppc64el" | "loong64" => &["bin", "lib", "lib64", "sbin"],
            "s390x" => &["bin", "lib", "lib32", "sbin"],
            _ => &["bin", "lib", "sbin"],
        };
        Self { links }
    }

    /// The links, as name and target.
    pub fn links(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.links.iter().map(|name| (*name, format!("usr/{name}")))
    }

    /// Whether this path is one of the links.
    pub fn is_link(&self, path: &str) -> bool {
        self.links.contains(&path)
    }

    /// Where a path without a slash at the start really lies.
    pub fn resolve(&self, path: &str) -> String {
        match path.split_once('/') {
            Some((first, _)) if self.is_link(first) => format!("usr/{path}"),
            _ => path.to_owned(),
        }
    }
}

/// The path of a tar member: relative, without `.` and a slash at the end, `""` for the root; `None` when it
/// would leave the root.
pub fn clean(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leads_into_usr() {
        let layout = Layout::of("amd64");
        assert_eq!(layout.resolve("bin/sh"), "usr/bin/sh");
        assert_eq!(layout.resolve("lib64/ld.so"), "usr/lib64/ld.so");
        assert_eq!(layout.resolve("bin"), "bin");
        assert_eq!(layout.resolve("usr/bin/sh"), "usr/bin/sh");
        assert_eq!(layout.resolve("binary/x"), "binary/x");
        assert!(!Layout::of("arm64").is_link("lib64"));
    }

    proptest! {
        #[test]
        fn clean_paths_stay_inside(path in "[a./]{0,20}") {
            if let Some(clean) = clean(&path) {
                prop_assert!(!clean.starts_with('/') && !clean.ends_with('/') && !clean.contains("//"));
                prop_assert!(clean.split('/').all(|part| part != ".."));
            }
        }
    }
}
