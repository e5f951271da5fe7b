//! The names of a network, as the engine writes them into a file.
//!
//! The file looks like hosts(5): an address and its names on each line, after a first line `# NETWORK`. The engine replaces
//! it as a whole; whoever answers questions looks at it again when it has been replaced. So one change costs the same,
//! however many containers a network has, and nobody has to be told.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One network's names.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    /// Which version of the file has been read: inode and time of change.
    version: Option<(u64, i64, i64)>,
    names: Names,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    network: String,
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, String>,
}

impl Table {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), version: None, names: Names::default() }
    }

    /// Reads the file if it is another than before. A network whose file is gone has no names.
    pub(super) fn refresh(&mut self) {
        let version = fs::metadata(&self.path).ok().map(|file| (file.ino(), file.ctime(), file.ctime_nsec()));
        if version == self.version && version.is_some() {
            return;
        }
        self.names = read(&self.path).unwrap_or_default();
        self.version = version;
    }

    /// Forgets what can be read again.
    pub(super) fn forget(&mut self) {
        (self.version, self.names) = (None, Names::default());
    }

    /// The addresses of `name`, which may end with the network's name.
    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let known = &self.names.addresses;
        let local = || name.strip_suffix(&self.names.network)?.strip_suffix('.');
        known.get(name).or_else(|| known.get(local()?)).map(Vec::as_slice)
    }

    /// The name of `address`, with the network's behind it.
    pub(super) fn name(&self, address: IpAddr) -> Option<String> {
        self.names.names.get(&address).map(|name| format!("{name}.{}", self.names.network))
    }
}

fn read(path: &Path) -> io::Result<Names> {
    fs::read_to_string(path).map(|text| parse(&text))
}

fn parse(text: &str) -> Names {
    let mut found = Names::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if first == "#" {
            found.network = words.next().unwrap_or_default().to_ascii_lowercase();
            continue;
        }
        let Ok(address) = first.parse::<IpAddr>() else { continue };
        for name in words {
            found.names.entry(address).or_insert_with(|| name.to_owned());
            let addresses = found.addresses.entry(name.to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_with_and_without_the_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let mut table = Table::new(&path);
        table.refresh();
        assert_eq!(table.addresses("web"), None);
        fs::write(&path, "# Shop_Net\n10.0.0.2 Web app 0123456789ab\n10.0.0.3 other app\nfd00::2 Web\n").unwrap();
        table.refresh();
        let addresses = |texts: &[&str]| Some(texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>());
        let found = |name| table.addresses(name).map(<[IpAddr]>::to_vec);
        assert_eq!(found("web"), addresses(&["10.0.0.2", "fd00::2"]));
        assert_eq!(found("web.shop_net"), addresses(&["10.0.0.2", "fd00::2"]));
        assert_eq!(found("app"), addresses(&["10.0.0.2", "10.0.0.3"]));
        assert_eq!((found("webshop_net"), found("shop_net"), found(".shop_net")), (None, None, None));
        assert_eq!(table.name("10.0.0.3".parse().unwrap()).unwrap(), "other.shop_net");
        fs::write(folder.path().join("new"), "# shop_net\n10.0.0.9 web\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        table.refresh();
        assert_eq!(table.addresses("web").map(<[IpAddr]>::len), Some(1));
        table.forget();
        assert_eq!(table.addresses("web"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,200}") {
            parse(&text);
        }
    }
}
