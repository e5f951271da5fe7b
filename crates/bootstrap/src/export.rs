//! Takes out of a configured container's archive what does not belong into an image.

use std::io::{Read, Write};
use tar::{Archive, Builder, EntryType, Header};
use wharf_types::{Result, ResultExt};

/// Copies a tar stream without what the container's own start and the configuration left, and with no time after
/// `latest` (seconds since 1970), so that the same packages make the same image. Calls `advance` with each entry's size.
pub fn filter<W: Write>(from: impl Read, to: W, latest: u64, advance: &dyn Fn(u64)) -> Result<W> {
    let mut archive = Archive::new(from);
    let mut out = Builder::new(to);
    // Headers that only lengthen the name of the next entry come as entries of their own.
    let mut before: Vec<Extension> = Vec::new();
    for entry in archive.entries().context(READ)?.raw(true) {
        let mut entry = entry.context(READ)?;
        let header = entry.header().clone();
        let kind = header.entry_type();
        if is_extension(kind) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).context(READ)?;
            before.push(Extension { header, content });
            continue;
        }
        let path = full_path(&before, &header);
        let extensions = std::mem::take(&mut before);
        if belongs(&path) {
            extensions.into_iter().try_for_each(|extension| extension.write(&mut out))?;
            out.append(&clamped(header, latest)?, &mut entry).context(WRITE)?;
            advance(entry.size());
        }
    }
    out.into_inner().context(WRITE)
}

const READ: &str = "cannot read the configured container";
const WRITE: &str = "cannot write the image";

struct Extension {
    header: Header,
    content: Vec<u8>,
}

impl Extension {
    fn write<W: Write>(mut self, out: &mut Builder<W>) -> Result<()> {
        if self.header.entry_type() == EntryType::XHeader {
            self.content = without_times(&self.content);
            if self.content.is_empty() {
                return Ok(());
            }
            self.header.set_size(self.content.len() as u64);
            self.header.set_cksum();
        }
        out.append(&self.header, self.content.as_slice()).context(WRITE)
    }
}

fn is_extension(kind: EntryType) -> bool {
    matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader)
}

fn full_path(before: &[Extension], header: &Header) -> String {
    let named = before.iter().find_map(|extension| match extension.header.entry_type() {
        EntryType::GNULongName => Some(extension.content.strip_suffix(b"\0").unwrap_or(&extension.content)),
        EntryType::XHeader => {
            records(&extension.content).find(|record| record.key == b"path").map(|record| record.value)
        }
        _ => None,
    });
    let path = named.map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec);
    let path = String::from_utf8_lossy(&path);
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

/// Device nodes and kernel file systems are the container's, and so are the files that the engine mounts.
fn belongs(path: &str) -> bool {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let owned = ["dev", "proc", "sys", crate::configure::FOLDER];
    let files = [".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", crate::configure::FOLDER];
    !owned.iter().any(|folder| below(folder)) && !files.contains(&path)
}

fn clamped(mut header: Header, latest: u64) -> Result<Header> {
    if header.mtime().context(READ)? > latest {
        header.set_mtime(latest);
        header.set_cksum();
    }
    Ok(header)
}

struct Record<'a> {
    whole: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`, where the length counts the whole record (pax(1)).
fn records(content: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let whole = rest.get(..length)?;
        rest = &rest[length..];
        let pair = whole.get(blank + 1..)?.strip_suffix(b"\n")?;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some(Record { whole, key: &pair[..equals], value: &pair[equals + 1..] })
    })
}

fn without_times(content: &[u8]) -> Vec<u8> {
    let times: [&[u8]; 3] = [b"mtime", b"atime", b"ctime"];
    records(content).filter(|record| !times.contains(&record.key)).flat_map(|record| record.whole).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn add(tar: &mut Builder<Vec<u8>>, path: &str, content: &str, time: u64) {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(time);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }

    fn filtered(tar: Builder<Vec<u8>>) -> Vec<(String, u64, String)> {
        let total = Cell::new(0);
        let out =
            filter(&tar.into_inner().unwrap()[..], Vec::new(), 1000, &|size| total.set(total.get() + size)).unwrap();
        let mut archive = Archive::new(&out[..]);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn leaves_the_containers_own_out() {
        let mut tar = Builder::new(Vec::new());
        for path in [
            ".dockerenv",
            "dev/console",
            "proc/x",
            "etc/resolv.conf",
            "etc/hosts.allow",
            "development",
            "wharf-bootstrap/configure",
        ] {
            add(&mut tar, path, "x", 5);
        }
        add(&mut tar, "etc/passwd", "root", 2000);
        let expected = [("etc/hosts.allow", 5, "x"), ("development", 5, "x"), ("etc/passwd", 1000, "root")];
        assert_eq!(filtered(tar), expected.map(|(path, time, content)| (path.to_owned(), time, content.to_owned())));
    }

    #[test]
    fn keeps_long_names_and_attributes_but_no_later_times() {
        let long = format!("usr/share/{}/file", "x".repeat(150));
        let mut tar = Builder::new(Vec::new());
        add(&mut tar, &long, "long", 1);
        tar.append_pax_extensions([("mtime", &b"99999.5"[..]), ("SCHILY.xattr.user.a", b"b")]).unwrap();
        add(&mut tar, "short", "short", 1);
        add(&mut tar, &format!("dev/{}", "y".repeat(200)), "gone", 1);
        add(&mut tar, "last", "last", 1);
        let input = tar.into_inner().unwrap();
        let out = filter(&input[..], Vec::new(), 1000, &|_| ()).unwrap();
        let mut archive = Archive::new(&out[..]);
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let keys: Vec<_> = entry
                .pax_extensions()
                .unwrap()
                .into_iter()
                .flatten()
                .map(|e| e.unwrap().key().unwrap().to_owned())
                .collect();
            names.push((entry.path().unwrap().display().to_string(), keys));
        }
        assert_eq!(
            names,
            [(long, vec![]), ("short".into(), vec!["SCHILY.xattr.user.a".into()]), ("last".into(), vec![])]
        );
    }

    #[test]
    fn notices_a_cut_off_archive() {
        let mut tar = Builder::new(Vec::new());
        add(&mut tar, "a", &"x".repeat(2000), 1);
        let whole = tar.into_inner().unwrap();
        assert!(filter(&whole[..1000], Vec::new(), 1000, &|_| ()).is_err());
    }
}
