//! Who is called what: the names of containers on networks, and the files by which monitors know them.
//!
//! Each network that has names has a file in the run folder, which looks like hosts(5) after a first line `# NETWORK`. It is
//! replaced as a whole, and the monitors of the network's containers read it again when somebody asks them. So a change
//! costs one file, however many containers are on the network; it is in force before a start is answered; and the files
//! stay when the engine goes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use wharf_types::{Id, Result, ResultExt};

/// The names of all containers that live.
pub struct Book {
    folder: PathBuf,
    pages: HashMap<Id, Page>,
    /// The names of the containers themselves.
    containers: HashMap<Id, String>,
}

/// One network.
struct Page {
    title: String,
    entries: BTreeMap<Id, Entry>,
}

struct Entry {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Book {
    /// A book whose files are in `folder`, which is made with the first of them.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, pages: HashMap::new(), containers: HashMap::new() }
    }

    /// The file with the names of a network.
    pub fn path(&self, network: Id) -> PathBuf {
        self.folder.join(network.to_string())
    }

    /// Takes note of a container's name.
    pub fn call(&mut self, container: Id, name: &str) {
        self.containers.insert(container, name.to_owned());
    }

    /// The name of a container, or its short id where there is none.
    pub fn name(&self, container: Id) -> String {
        self.containers.get(&container).cloned().unwrap_or_else(|| container.short())
    }

    /// Forgets the name of a container.
    pub fn forget(&mut self, container: Id) {
        self.containers.remove(&container);
    }

    /// Gives a container these names and addresses on a network called `title`, instead of those that it had. The file is
    /// written by [`Book::write`].
    pub fn enter(&mut self, network: Id, title: &str, container: Id, names: Vec<String>, addresses: Vec<IpAddr>) {
        let page =
            self.pages.entry(network).or_insert_with(|| Page { title: title.to_owned(), entries: BTreeMap::new() });
        page.entries.insert(container, Entry { names, addresses });
    }

    /// Writes the files of all networks, and removes those of others.
    ///
    /// # Errors
    /// Those of the file system; the rest is done.
    pub fn write_all(&self) -> Result<()> {
        let known = |name: &str| name.parse().is_ok_and(|id| self.pages.contains_key(&id));
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let strangers = files.filter(|file| !file.file_name().to_str().is_some_and(known));
        let removed = strangers.map(|file| remove(&file.path()));
        let written = self.pages.keys().map(|network| self.write(*network));
        removed.chain(written).fold(Ok(()), Result::and)
    }

    /// Other names for a container that is on a network already; nothing happens where it is not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rename(&mut self, network: Id, container: Id, names: Vec<String>) -> Result<()> {
        let entry = self.pages.get_mut(&network).and_then(|page| page.entries.get_mut(&container));
        let Some(entry) = entry else { return Ok(()) };
        entry.names = names;
        self.write(network)
    }

    /// Takes a container's names on a network back; none is fine.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn leave(&mut self, network: Id, container: Id) -> Result<()> {
        let Some(page) = self.pages.get_mut(&network) else { return Ok(()) };
        if page.entries.remove(&container).is_none() {
            return Ok(());
        }
        if !page.entries.is_empty() {
            return self.write(network);
        }
        self.pages.remove(&network);
        remove(&self.path(network))
    }

    /// Writes a network's file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, network: Id) -> Result<()> {
        let Some(page) = self.pages.get(&network) else { return Ok(()) };
        let (path, aside) = (self.path(network), self.folder.join("new"));
        let text = page.render();
        let write = || std::fs::write(&aside, &text).and_then(|()| std::fs::rename(&aside, &path));
        let written = write().or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => std::fs::create_dir_all(&self.folder).and_then(|()| write()),
            _ => Err(error),
        });
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Page {
    fn render(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for entry in self.entries.values() {
            let names = entry.names.join(" ");
            for address in &entry.addresses {
                // Writing to a string cannot fail.
                let _infallible = writeln!(text, "{address} {names}");
            }
        }
        text
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Id {
        Id::from_random([byte; 32])
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn names_come_and_go_with_containers() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::new(folder.path().join("names"));
        let address = |text: &str| vec![text.parse().unwrap()];
        let both = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        book.enter(id(9), "shop", id(1), list(&["web", "www"]), both);
        book.enter(id(9), "shop", id(2), list(&["db"]), address("10.0.0.3"));
        std::fs::create_dir_all(folder.path().join("names")).unwrap();
        std::fs::write(folder.path().join("names/stranger"), "").unwrap();
        book.write_all().unwrap();
        assert!(!folder.path().join("names/stranger").exists());
        let text = || std::fs::read_to_string(book.path(id(9))).unwrap_or_default();
        assert_eq!(text(), "# shop\n10.0.0.2 web www\nfd00::2 web www\n10.0.0.3 db\n");
        book.rename(id(9), id(2), list(&["base"])).unwrap();
        book.rename(id(8), id(2), list(&["nothing"])).unwrap();
        book.leave(id(9), id(1)).unwrap();
        book.leave(id(9), id(1)).unwrap();
        let text = || std::fs::read_to_string(book.path(id(9))).unwrap_or_default();
        assert_eq!(text(), "# shop\n10.0.0.3 base\n");
        book.leave(id(9), id(2)).unwrap();
        assert!(!book.path(id(9)).exists() && book.pages.is_empty());
    }

    #[test]
    fn containers_are_called_by_their_names_or_ids() {
        let mut book = Book::new(PathBuf::new());
        book.call(id(1), "web");
        assert_eq!(book.name(id(1)), "web");
        book.forget(id(1));
        assert_eq!(book.name(id(1)), id(1).short());
    }
}
