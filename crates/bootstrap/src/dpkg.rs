//! dpkg's database, as dpkg itself would leave it after unpacking: `status`, `info/` and the registered triggers.
//!
//! Every package is `install ok unpacked`, so that `dpkg --configure` inside the system completes it. Configuration
//! files lie at their final places already with their digests on record: that is what dpkg has written once a
//! package is configured, and it asks no question about them.

use crate::deb::{ControlFile, Deb};
use crate::deb822::Paragraph;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use wharf_types::{Error, Result};

/// The database while packages are added to it.
#[derive(Debug, Default)]
pub struct Database {
    status: String,
    info: Vec<ControlFile>,
    file_triggers: String,
    named_triggers: BTreeMap<String, String>,
}

/// A package as it is about to enter the database.
#[derive(Debug)]
pub struct Unpacked {
    /// How dpkg names its files: with the architecture where several may be installed side by side.
    pub qualified: String,
    /// The package's name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Every path of its data archive, absolute, without a slash at the end; the root is `/.`.
    pub paths: Vec<String>,
    /// MD5 digests of its regular files, by absolute path.
    pub digests: BTreeMap<String, String>,
}

impl Unpacked {
    /// Reads names from the control file; paths and digests are still to be filled in.
    pub fn new(deb: &Deb) -> Result<Self> {
        let fields = Paragraph::parse(deb.control.trim_start());
        let field = |name: &str| fields.as_ref().and_then(|fields| fields.get(name)).map(str::to_owned);
        let missing = || Error::corrupt("a package's control file lacks its name, version or architecture");
        let name = field("Package").filter(|name| is_file_name(name)).ok_or_else(missing)?;
        let architecture = field("Architecture").filter(|name| is_file_name(name)).ok_or_else(missing)?;
        let side_by_side = field("Multi-Arch").is_some_and(|value| value == "same");
        let qualified = if side_by_side { format!("{name}:{architecture}") } else { name.clone() };
        let version = field("Version").ok_or_else(missing)?;
        Ok(Self { qualified, name, architecture, version, paths: Vec::new(), digests: BTreeMap::new() })
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '/' || c.is_whitespace())
}

/// The MD5 digest that dpkg wants, in hexadecimal.
pub fn md5(content: &[u8]) -> String {
    Md5::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Database {
    /// Adds a package.
    pub fn add(&mut self, package: &Unpacked, deb: Deb) -> Result<()> {
        self.add_status(package, &deb);
        self.add_triggers(package, &deb)?;
        self.add_info(package, deb);
        Ok(())
    }

    fn add_status(&mut self, package: &Unpacked, deb: &Deb) {
        for line in deb.control.lines().filter(|line| !line.trim().is_empty()) {
            self.status.push_str(line);
            self.status.push('\n');
            if line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("Package")) {
                self.status.push_str("Status: install ok unpacked\n");
            }
        }
        let mut first = true;
        for path in conffiles(deb) {
            if let Some(digest) = package.digests.get(path) {
                self.status.push_str(if first { "Conffiles:\n" } else { "" });
                let _ = writeln!(self.status, " {path} {digest}");
                first = false;
            }
        }
        self.status.push('\n');
    }

    /// Registers what the package waits for, as `triggers/File` and `triggers/NAME` (deb-triggers(5)).
    fn add_triggers(&mut self, package: &Unpacked, deb: &Deb) -> Result<()> {
        let text = deb.file("triggers").map(String::from_utf8_lossy).unwrap_or_default();
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            let (Some(directive), Some(trigger)) = (words.next(), words.next()) else { continue };
            let suffix = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            if trigger.starts_with('/') {
                let _ = writeln!(self.file_triggers, "{trigger} {}{suffix}", package.qualified);
            } else if is_file_name(trigger) && !trigger.starts_with('.') {
                let _ = writeln!(
                    self.named_triggers.entry(trigger.to_owned()).or_default(),
                    "{}{suffix}",
                    package.qualified
                );
            } else {
                return Err(Error::corrupt(format!("the package {} has a trigger that makes no sense", package.name)));
            }
        }
        Ok(())
    }

    fn add_info(&mut self, package: &Unpacked, deb: Deb) {
        let info =
            |name: &str, mode, content| ControlFile { name: format!("{}.{name}", package.qualified), mode, content };
        let list: String = package.paths.iter().flat_map(|path| [path, "\n"]).collect();
        self.info.push(info("list", 0o644, list.into_bytes()));
        if deb.file("md5sums").is_none() {
            self.info.push(info("md5sums", 0o644, md5sums(package, &deb)));
        }
        for file in deb.files {
            self.info.push(info(&file.name, file.mode, file.content));
        }
    }

    /// The files of the database, by their paths below the root without a slash at the start.
    pub fn into_files(self) -> Vec<ControlFile> {
        let file = |name: &str, content: String| ControlFile {
            name: format!("var/lib/dpkg/{name}"),
            mode: 0o644,
            content: content.into_bytes(),
        };
        let mut files = vec![
            file("status", self.status),
            file("available", String::new()),
            file("diversions", String::new()),
            file("statoverride", String::new()),
            file("info/format", "1\n".to_owned()),
            file("triggers/File", self.file_triggers),
            file("triggers/Unincorp", String::new()),
        ];
        files.extend(self.named_triggers.into_iter().map(|(name, content)| file(&format!("triggers/{name}"), content)));
        files.extend(
            self.info.into_iter().map(|info| ControlFile { name: format!("var/lib/dpkg/info/{}", info.name), ..info }),
        );
        files
    }
}

/// The paths of a package's configuration files; those to be removed on upgrade are none.
fn conffiles(deb: &Deb) -> impl Iterator<Item = &str> {
    let text = deb.file("conffiles").and_then(|content| std::str::from_utf8(content).ok()).unwrap_or_default();
    text.lines().map(str::trim_end).filter(|line| line.starts_with('/'))
}

/// What dpkg writes for a package that brings no digests of its own.
fn md5sums(package: &Unpacked, deb: &Deb) -> Vec<u8> {
    let is_conffile = |path: &str| conffiles(deb).any(|conffile| conffile == path);
    let sums = package.digests.iter().filter(|(path, _)| !is_conffile(path));
    sums.map(|(path, digest)| format!("{digest}  {}\n", path.trim_start_matches('/'))).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DebBuilder;

    fn added(builder: DebBuilder, digests: &[(&str, &str)]) -> Vec<ControlFile> {
        let deb = Deb::parse(&builder.build(), "test").unwrap();
        let mut package = Unpacked::new(&deb).unwrap();
        package.paths = vec!["/.".into(), "/etc".into()];
        package.digests = digests.iter().map(|(path, digest)| ((*path).to_owned(), (*digest).to_owned())).collect();
        let mut database = Database::default();
        database.add(&package, deb).unwrap();
        database.into_files()
    }

    fn content<'f>(files: &'f [ControlFile], name: &str) -> &'f str {
        let file = files.iter().find(|file| file.name == format!("var/lib/dpkg/{name}"));
        std::str::from_utf8(&file.unwrap_or_else(|| panic!("no {name}")).content).unwrap()
    }

    #[test]
    fn records_packages_as_unpacked_with_their_conffiles() {
        let deb = DebBuilder::new("a", "1:2-3")
            .field("Description: x\n long")
            .script("conffiles", "/etc/a.conf\nremove-on-upgrade /etc/b\n");
        let files = added(
            deb,
            &[("/etc/a.conf", "d41d8cd98f00b204e9800998ecf8427e"), ("/usr/bin/a", "0cc175b9c0f1b6a831c399e269772661")],
        );
        let status = content(&files, "status");
        assert!(status.starts_with("Package: a\nStatus: install ok unpacked\nVersion: 1:2-3\n"), "{status}");
        assert!(
            status.ends_with("Description: x\n long\nConffiles:\n /etc/a.conf d41d8cd98f00b204e9800998ecf8427e\n\n"),
            "{status}"
        );
        assert_eq!(content(&files, "info/a.list"), "/.\n/etc\n");
        assert_eq!(content(&files, "info/a.md5sums"), "0cc175b9c0f1b6a831c399e269772661  usr/bin/a\n");
        assert_eq!(content(&files, "info/format"), "1\n");
    }

    #[test]
    fn names_files_with_the_architecture_where_several_go_together() {
        let triggers = "# comment\ninterest-noawait /usr/share/x\ninterest ldconfig\nactivate-noawait other\n";
        let files = added(DebBuilder::new("lib", "1").field("Multi-Arch: same").script("triggers", triggers), &[]);
        let qualified = format!("lib:{}", crate::options::host_architecture());
        assert_eq!(content(&files, "triggers/File"), format!("/usr/share/x {qualified}/noawait\n"));
        assert_eq!(content(&files, "triggers/ldconfig"), format!("{qualified}\n"));
        assert!(!content(&files, &format!("info/{qualified}.list")).is_empty());
    }

    #[test]
    fn refuses_names_that_would_lead_elsewhere() {
        let deb = Deb::parse(&DebBuilder::new("../evil", "1").build(), "test").unwrap();
        assert!(Unpacked::new(&deb).is_err());
        let deb =
            Deb::parse(&DebBuilder::new("a", "1").script("triggers", "interest ../../x\n").build(), "test").unwrap();
        assert!(Database::default().add(&Unpacked::new(&deb).unwrap(), deb).is_err());
    }

    #[test]
    fn digests_are_those_of_md5() {
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
