//! The root file system as one tar stream, merged from packages; nothing is ever unpacked on the host.

use crate::deb::Deb;
use crate::dpkg::{Database, Unpacked, md5};
use crate::layout::{Layout, clean};
use crate::plan::Chosen;
use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
use tar::{Builder, EntryType, Header};
use wharf_types::{Error, Result, ResultExt};

/// Merges packages into a tar stream.
pub struct RootFs<W: Write> {
    tar: Builder<W>,
    layout: Layout,
    /// Every path that has been written, and which package brought it where it is no folder.
    seen: HashMap<String, Option<usize>>,
    packages: Vec<Merged>,
    /// Seconds since 1970, for what no package brings.
    time: u64,
}

struct Merged {
    unpacked: Unpacked,
    deb: Deb,
    replaces: Vec<String>,
}

impl<W: Write> RootFs<W> {
    /// Begins with the folders and links that must be there before anything else. `first` is the package that
    /// defines the layout (base-files): where it brings the links itself, none are made.
    pub fn new(out: W, architecture: &str, first: &Deb, time: u64) -> Result<Self> {
        let mut root = Self {
            tar: Builder::new(out),
            layout: Layout::of(architecture),
            seen: HashMap::new(),
            packages: Vec::new(),
            time,
        };
        root.folder("usr", 0o755)?;
        if !brings_links(first)? {
            for (name, target) in Layout::of(architecture).links() {
                root.folder(&target, 0o755)?;
                root.symlink(name, &target)?;
            }
        }
        Ok(root)
    }

    /// Adds a package. What an earlier package has brought stays, unless this one says that it replaces it.
    pub fn add(&mut self, package: &Chosen, mut deb: Deb) -> Result<()> {
        let mut unpacked = Unpacked::new(&deb)?;
        if unpacked.name != package.name || unpacked.version != package.version {
            return Err(Error::corrupt(format!(
                "the mirror serves another package in place of {} {}",
                package.name, package.version
            )));
        }
        let data = std::mem::take(&mut deb.data);
        let replaces = deb822_names(&deb.control, "Replaces");
        let broken = || format!("cannot merge the package {}", package.name);
        for entry in tar::Archive::new(Cursor::new(&data)).entries().with_context(broken)? {
            self.add_entry(&mut entry.with_context(broken)?, &mut unpacked, &replaces).with_context(broken)?;
        }
        self.packages.push(Merged { unpacked, deb, replaces });
        Ok(())
    }

    fn add_entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        unpacked: &mut Unpacked,
        replaces: &[String],
    ) -> Result<()> {
        let name = text(&entry.path_bytes())?;
        let name = clean(&name).ok_or_else(|| Error::corrupt(format!("the path '{name}' leads outside")))?;
        unpacked.paths.push(if name.is_empty() { "/.".to_owned() } else { format!("/{name}") });
        let place = self.layout.resolve(&name);
        match entry.header().entry_type() {
            EntryType::Directory => self.add_folder(entry.header(), &place),
            EntryType::Regular | EntryType::Continuous => {
                let mut content = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
                entry.read_to_end(&mut content)?;
                unpacked.digests.insert(format!("/{name}"), md5(&content));
                if self.claim(&place, unpacked, replaces)? {
                    self.append(&mut entry.header().clone(), &place, None, &content)?;
                }
                Ok(())
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = text(&entry.link_name_bytes().unwrap_or_default())?;
                let target = if kind == EntryType::Link { self.hard_target(&target, &name, unpacked)? } else { target };
                if self.claim(&place, unpacked, replaces)? {
                    self.append(&mut entry.header().clone(), &place, Some(&target), &[])?;
                }
                Ok(())
            }
            kind => Err(Error::corrupt(format!("'/{name}' is of a kind that packages do not have ({kind:?})"))),
        }
    }

    /// A folder that is there already keeps its permissions, as with dpkg; a link in its place stays a link.
    fn add_folder(&mut self, header: &Header, place: &str) -> Result<()> {
        if place.is_empty() || self.seen.contains_key(place) {
            return Ok(());
        }
        self.seen.insert(place.to_owned(), None);
        self.append(&mut header.clone(), place, None, &[])
    }

    fn hard_target(&self, target: &str, name: &str, unpacked: &mut Unpacked) -> Result<String> {
        let target =
            clean(target).ok_or_else(|| Error::corrupt(format!("the link target '{target}' leads outside")))?;
        if let Some(digest) = unpacked.digests.get(&format!("/{target}")).cloned() {
            unpacked.digests.insert(format!("/{name}"), digest);
        }
        Ok(self.layout.resolve(&target))
    }

    /// Whether the present package gets the path that it has named last; two packages may only bring the same one where one replaces the other.
    fn claim(&mut self, place: &str, unpacked: &mut Unpacked, replaces: &[String]) -> Result<bool> {
        let next = self.packages.len();
        let Some(owner) = self.seen.insert(place.to_owned(), Some(next)) else { return Ok(true) };
        let earlier = owner.and_then(|at| self.packages.get_mut(at));
        let Some(earlier) = earlier else {
            return Err(Error::conflict(format!("'/{place}' is there already, as something else")));
        };
        if replaces.contains(&earlier.unpacked.name) {
            earlier.unpacked.paths.retain(|path| self.layout.resolve(&path[1..]) != place);
            return Ok(true);
        }
        if earlier.replaces.contains(&unpacked.name) {
            self.seen.insert(place.to_owned(), owner);
            unpacked.paths.pop();
            return Ok(false);
        }
        Err(Error::conflict(format!("'/{place}' is also in the package {}", earlier.unpacked.name)))
    }

    /// A folder that no package brings; nothing happens when one does.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.seen.contains_key(path) {
            return Ok(());
        }
        self.seen.insert(path.to_owned(), None);
        let mut header = self.header(EntryType::Directory, mode);
        self.append(&mut header, path, None, &[])
    }

    /// A link that no package brings; nothing happens when one does.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        if self.seen.contains_key(path) {
            return Ok(());
        }
        self.seen.insert(path.to_owned(), None);
        let mut header = self.header(EntryType::Symlink, 0o777);
        self.append(&mut header, path, Some(target), &[])
    }

    /// A file that no package brings, with the folders above it.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.file_parent(path)?;
        self.seen.insert(path.to_owned(), None);
        let mut header = self.header(EntryType::Regular, mode);
        self.append(&mut header, path, None, content)
    }

    /// The folders above a path.
    pub fn file_parent(&mut self, path: &str) -> Result<()> {
        path.match_indices('/').try_for_each(|(at, _)| self.folder(&path[..at], 0o755))
    }

    /// Whether something lies at this path.
    pub fn has(&self, path: &str) -> bool {
        self.seen.contains_key(path)
    }

    /// The packages so far, in their order, that have a script to run before they are unpacked.
    pub fn with_preinst(&self) -> impl Iterator<Item = &Unpacked> {
        self.packages.iter().filter(|package| package.deb.file("preinst").is_some()).map(|package| &package.unpacked)
    }

    /// Writes dpkg's database and the end of the stream.
    pub fn finish(mut self) -> Result<W> {
        let mut database = Database::default();
        for package in std::mem::take(&mut self.packages) {
            database.add(&package.unpacked, package.deb)?;
        }
        for file in database.into_files() {
            self.file(&file.name, file.mode, &file.content)?;
        }
        self.tar.into_inner().context("cannot write the root file system")
    }

    fn header(&self, kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header
    }

    fn append(&mut self, header: &mut Header, path: &str, link: Option<&str>, content: &[u8]) -> Result<()> {
        let mut clean = Header::new_gnu();
        clean.set_entry_type(header.entry_type());
        clean.set_mode(header.mode()? & 0o7777);
        clean.set_uid(header.uid()?);
        clean.set_gid(header.gid()?);
        clean.set_mtime(header.mtime()?);
        clean.set_size(content.len() as u64);
        let path = if header.entry_type() == EntryType::Directory { format!("{path}/") } else { path.to_owned() };
        match link {
            Some(link) if clean.set_link_name_literal(link).is_err() => self.tar.append_link(&mut clean, path, link),
            _ => self.tar.append_data(&mut clean, path, content),
        }
        .context("cannot write the root file system")
    }
}

/// Whether a package itself makes `/bin` a link, as base-files does since Debian 13.
fn brings_links(deb: &Deb) -> Result<bool> {
    for entry in tar::Archive::new(Cursor::new(&deb.data)).entries()? {
        let entry = entry?;
        if entry.header().entry_type() == EntryType::Symlink
            && clean(&text(&entry.path_bytes())?).as_deref() == Some("bin")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn deb822_names(control: &str, field: &str) -> Vec<String> {
    let value =
        crate::deb822::Paragraph::parse(control.trim_start()).and_then(|fields| fields.get(field)).unwrap_or_default();
    crate::relation::groups(value).flatten().map(|relation| relation.name.to_owned()).collect()
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt("a path is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DebBuilder, chosen};

    type Listing = Vec<(String, EntryType, String, u32)>;

    fn base_files() -> DebBuilder {
        DebBuilder::new("base-files", "1").folder("./etc/").folder("./tmp/").folder("./usr/").folder("./usr/bin/")
    }

    fn merge(builders: Vec<DebBuilder>) -> Result<(Listing, HashMap<String, String>)> {
        let debs: Vec<_> = builders.into_iter().map(|builder| (chosen(&builder), builder.build())).collect();
        let first = Deb::parse(&debs[0].1, "first")?;
        let mut root = RootFs::new(Vec::new(), "amd64", &first, 1000)?;
        for (package, content) in debs {
            root.add(&package, Deb::parse(&content, &package.name)?)?;
        }
        let tar = root.finish()?;
        let (mut list, mut contents) = (Vec::new(), HashMap::new());
        for entry in tar::Archive::new(&tar[..]).entries()? {
            let mut entry = entry?;
            let path = text(&entry.path_bytes())?;
            let link = text(&entry.link_name_bytes().unwrap_or_default())?;
            list.push((path.clone(), entry.header().entry_type(), link, entry.header().mode()?));
            let mut content = String::new();
            entry.read_to_string(&mut content)?;
            contents.insert(path, content);
        }
        Ok((list, contents))
    }

    fn position(list: &Listing, path: &str) -> usize {
        let found: Vec<_> = list.iter().enumerate().filter(|(_, entry)| entry.0 == path).map(|(at, _)| at).collect();
        assert_eq!(found.len(), 1, "{path} is there {} times", found.len());
        found[0]
    }

    #[test]
    fn merges_usr_but_remembers_what_packages_said() {
        let shell = DebBuilder::new("dash", "1")
            .folder("./bin/")
            .file("./bin/dash", "shell")
            .symlink("./bin/sh", "dash")
            .hardlink("./bin/ash", "./bin/dash");
        let (list, contents) = merge(vec![base_files(), shell]).unwrap();
        assert_eq!(list[position(&list, "bin")].2, "usr/bin");
        assert_eq!(contents["usr/bin/dash"], "shell");
        assert_eq!(list[position(&list, "usr/bin/sh")].2, "dash");
        let hard = &list[position(&list, "usr/bin/ash")];
        assert_eq!((hard.1, hard.2.as_str()), (EntryType::Link, "usr/bin/dash"));
        assert!(position(&list, "usr/bin/") < position(&list, "bin"));
        let paths = "/.\n/bin\n/bin/dash\n/bin/sh\n/bin/ash\n";
        assert_eq!(contents["var/lib/dpkg/info/dash.list"], paths);
        let digest = md5(b"shell");
        assert_eq!(contents["var/lib/dpkg/info/dash.md5sums"], format!("{digest}  bin/ash\n{digest}  bin/dash\n"));
    }

    #[test]
    fn makes_no_links_that_a_package_brings() {
        let base = base_files().symlink("./bin", "usr/bin").symlink("./lib64", "usr/lib64");
        let (list, _) = merge(vec![base]).unwrap();
        position(&list, "bin");
        position(&list, "lib64");
        assert!(list.iter().all(|entry| entry.0 != "libx32"));
    }

    #[test]
    fn the_first_folder_keeps_its_mode() {
        let base = base_files().folder_with_mode("./var/tmp/", 0o1777);
        let (list, _) = merge(vec![base, DebBuilder::new("a", "1").folder("./var/tmp/")]).unwrap();
        assert_eq!(list[position(&list, "var/tmp/")].3, 0o1777);
    }

    #[test]
    fn two_packages_do_not_bring_the_same_file() {
        let a = || DebBuilder::new("a", "1").file("./etc/x", "a");
        let error = merge(vec![base_files(), a(), DebBuilder::new("b", "1").file("./etc/x", "b")]).unwrap_err();
        assert!(error.chain().contains("'/etc/x' is also in the package a"), "{error:?}");
        let error = merge(vec![base_files(), a(), DebBuilder::new("b", "1").file("./etc", "b")]).unwrap_err();
        assert!(error.chain().contains("'/etc' is there already"), "{error:?}");
    }

    #[test]
    fn the_replacing_package_wins_in_either_order() {
        let a = || DebBuilder::new("a", "1").file("./etc/x", "a");
        let b = || DebBuilder::new("b", "1").field("Replaces: a (<< 2)").file("./etc/x", "b");
        for order in [vec![base_files(), a(), b()], vec![base_files(), b(), a()]] {
            let (_, contents) = merge(order).unwrap();
            assert_eq!(contents["etc/x"], "b");
            assert_eq!(contents["var/lib/dpkg/info/b.list"], "/.\n/etc/x\n");
            assert_eq!(contents["var/lib/dpkg/info/a.list"], "/.\n");
        }
    }

    #[test]
    fn refuses_paths_that_lead_outside_and_other_packages() {
        for builder in [
            DebBuilder::new("a", "1").file("./../x", ""),
            DebBuilder::new("a", "1").file("./etc/ok", "").hardlink("./x", "../../etc/passwd"),
        ] {
            assert!(merge(vec![base_files(), builder]).unwrap_err().chain().contains("outside"));
        }
        let deb = Deb::parse(&base_files().build(), "x").unwrap();
        let mut root = RootFs::new(Vec::new(), "amd64", &deb, 0).unwrap();
        let other = chosen(&DebBuilder::new("base-files", "2"));
        assert!(root.add(&other, deb).unwrap_err().to_string().contains("another package"));
    }

    #[test]
    fn long_names_survive() {
        let path = format!("usr/share/{}/{}", "d".repeat(90), "f".repeat(90));
        let mut root = RootFs::new(Vec::new(), "amd64", &Deb::parse(&base_files().build(), "x").unwrap(), 0).unwrap();
        root.file(&path, 0o600, b"content").unwrap();
        root.symlink("usr/share/link", &"t/".repeat(80)).unwrap();
        let tar = root.finish().unwrap();
        let entries: Vec<_> = tar::Archive::new(&tar[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (text(&entry.path_bytes()).unwrap(), text(&entry.link_name_bytes().unwrap_or_default()).unwrap())
            })
            .collect();
        assert!(entries.contains(&(path, String::new())));
        assert!(entries.contains(&("usr/share/link".to_owned(), "t/".repeat(80))), "{entries:?}");
    }
}
