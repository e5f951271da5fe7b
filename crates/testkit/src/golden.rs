//! Root file systems small enough to be made for every test.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Name under which [`crate::TempEngine`] imports [`busybox_rootfs`].
pub const BUSYBOX: &str = "busybox:test";

/// A tar archive of a root file system around the host's static busybox: every applet as a link, `/etc/passwd` with
/// `root`, `daemon` (1) and `app` (1000), the usual empty folders.
///
/// # Panics
/// If there is no static busybox on the host (Debian: `apt-get install busybox-static`).
pub fn busybox_rootfs() -> &'static [u8] {
    static ROOTFS: OnceLock<Vec<u8>> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let busybox = busybox_path();
        let program = std::fs::read(busybox).expect("busybox can be read");
        let mut archive = Archive::new();
        for folder in ["bin", "etc", "root", "run", "var", "var/www", "usr", "proc", "sys", "dev"] {
            archive = archive.folder(folder, 0o755);
        }
        archive = archive.folder("tmp", 0o1777).file("bin/busybox", 0o755, &program);
        for applet in applets(busybox) {
            archive = archive.link(&format!("bin/{applet}"), "busybox");
        }
        archive
            .file("etc/passwd", 0o644, PASSWD.as_bytes())
            .file("etc/group", 0o644, GROUP.as_bytes())
            .file("etc/not-a-program", 0o644, b"text\n")
            .file("var/www/index.html", 0o644, b"hello from inside\n")
            .finish()
    })
}

/// Where the host's static busybox is.
///
/// # Panics
/// If it is nowhere.
pub fn busybox_path() -> &'static Path {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(Path::new).find(|path| path.exists()).expect(
        "a static busybox on the host: apt-get install busybox-static, or run the tests with 'cargo xtask test'",
    )
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
                      app:x:1000:1000:app:/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\naudio:x:29:app\napp:x:1000:\n";

fn applets(busybox: &Path) -> Vec<String> {
    let output = Command::new(busybox).arg("--list").output().expect("busybox --list runs");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().filter(|name| *name != "busybox").map(str::to_owned).collect()
}

/// A tar archive that is written entry by entry; all entries belong to root and are from the same second.
pub struct Archive(tar::Builder<Vec<u8>>);

impl Default for Archive {
    fn default() -> Self {
        Self::new()
    }
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, mode, content.len());
        self.written(|tar| tar.append_data(&mut header, path, content));
        self
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(mut self, path: &str, mode: u32) -> Self {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        self.written(|tar| tar.append_data(&mut header, format!("{path}/"), io::empty()));
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.written(|tar| tar.append_link(&mut header, path, target));
        self
    }

    /// The archive's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory succeeds")
    }

    fn written(&mut self, write: impl FnOnce(&mut tar::Builder<Vec<u8>>) -> io::Result<()>) {
        write(&mut self.0).expect("writing to memory succeeds");
    }
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_back() {
        let bytes = Archive::new().folder("etc", 0o755).file("etc/a", 0o600, b"x").link("b", "etc/a").finish();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let paths: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths, ["etc/", "etc/a", "b"]);
    }
}
