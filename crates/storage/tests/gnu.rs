//! The same tree by GNU tar and by us, in both directions and in all its formats.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test says what is wrong by where it fails, and what it skips

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use wharf_storage::LayerStore;
use wharf_storage::tar::{self, Limits};
use wharf_types::Digest;

/// `cap_net_raw=ep`, as the kernel keeps it (capabilities(7), VFS_CAP_REVISION_2).
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Size of the sparse file in bytes.
const SPARSE: u64 = 40 << 20;

/// One of everything that a layer may hold.
fn build(root: &Path) {
    let deep = root.join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("g".repeat(255)), b"far down").unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/first"), vec![7; 70_000]).unwrap();
    fs::hard_link(root.join("etc/first"), root.join("etc/second")).unwrap();
    fs::hard_link(root.join("etc/first"), root.join("third")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("ping"), b"\x7fELF").unwrap();
    fs::set_permissions(root.join("ping"), fs::Permissions::from_mode(0o4755)).unwrap();
    rustix::fs::setxattr(root.join("ping"), "security.capability", &NET_RAW, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root.join("etc"), "user.note", b"a\0b\n=c", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root.join("empty"), "trusted.note", &[b'x'; 900], XattrFlags::empty()).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9 \xff\x01")), b"no UTF-8").unwrap();
    fs::write(root.join("new\nline and \\n"), b"odd").unwrap();
    std::os::unix::fs::symlink("/not/there/".to_owned() + &"x".repeat(300), root.join("far")).unwrap();
    std::os::unix::fs::lchown(root.join("far"), Some(3_000_000), Some(2_999_999)).unwrap();
    std::os::unix::fs::chown(root.join("etc/first"), Some(4_000_000_000), Some(65_534)).unwrap();
    let node = |name: &str, kind, device: (u32, u32)| {
        let device = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o620), device).unwrap();
    };
    node("null", FileType::CharacterDevice, (1, 3));
    node("disk", FileType::BlockDevice, (259, 300_000));
    node("pipe", FileType::Fifo, (0, 0));
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(SPARSE).unwrap();
    for at in [0, 9 << 20, (SPARSE) - 4096] {
        sparse.write_all_at(&[0x55; 4096], at).unwrap();
    }
    let all_holes = File::create(root.join("holes")).unwrap();
    all_holes.set_len(1 << 20).unwrap();
    let old = Timestamps {
        last_access: Timespec { tv_sec: 1, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: -86_400, tv_nsec: 0 },
    };
    rustix::fs::utimensat(CWD, root.join("empty"), &old, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// What two equal trees have in common, by name.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let meta = path.symlink_metadata().unwrap();
        let content = match meta.file_type() {
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            kind if kind.is_file() => Digest::of(&fs::read(&path).unwrap()).to_string(),
            _ => String::new(),
        };
        let name = path.strip_prefix(root).unwrap().to_owned();
        let same = match meta.is_dir() {
            true => name.clone(),
            false => first_names.entry(meta.ino()).or_insert_with(|| name.clone()).clone(),
        };
        let (mode, owner, time) = (meta.mode(), (meta.uid(), meta.gid()), meta.mtime());
        let line = format!(
            "{mode:o} {owner:?} {time} {} {} {content} same as {same:?} {:?}",
            meta.rdev(),
            meta.len(),
            xattrs(&path)
        );
        found.insert(name, if meta.is_dir() { line.replace(&format!(" {} ", meta.len()), " ") } else { line });
    }
    found
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..len].split(|b| *b == 0).filter(|name| !name.is_empty());
    let read = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        (String::from_utf8_lossy(name).into_owned(), value[..len].to_vec())
    };
    names.map(read).filter(|(name, _)| name != "security.selinux").collect()
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (describe(found), describe(expected));
    for (name, line) in &expected {
        assert_eq!(found.get(name), Some(line), "{what}: {name:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// Whether this machine's tar is GNU's and knows extended attributes.
fn knows_attributes() -> Option<bool> {
    let help = Command::new("tar").arg("--help").output().ok()?;
    let version = Command::new("tar").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    text.contains("GNU tar").then(|| String::from_utf8_lossy(&help.stdout).contains("--xattrs-include"))
}

/// A folder on a file system that takes devices, `trusted.` attributes and holes.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

#[test]
fn what_gnu_tar_writes_is_unpacked_as_it_was() {
    let Some(knows_attributes) = knows_attributes() else { return skip("this machine has no GNU tar") };
    let folder = folder();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    build(&source);
    let store = LayerStore::open(&folder.path().join("layers")).unwrap();
    let kinds = [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ];
    for kind in kinds {
        let mut command = Command::new("tar");
        command.args(kind).args(["--numeric-owner", "-C"]).arg(&source).args(["-cf", "-", "."]);
        let is_pax = kind.contains(&"--format=pax");
        if is_pax && knows_attributes {
            command.args(["--xattrs", "--xattrs-include=*"]);
        }
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{kind:?}");
        let layer = store.unpack(&output.stdout[..], None, &Limits::default()).unwrap();
        let diff_id = layer.info().diff_id;
        store.publish(vec![layer]).unwrap();
        let unpacked = store.path(&diff_id);
        if is_pax && knows_attributes {
            assert_same(&unpacked, &source, &format!("{kind:?}"));
        } else {
            let plain = folder.path().join("plain");
            fs::create_dir(&plain).unwrap();
            let mut tar = Command::new("tar")
                .args(["--numeric-owner", "-xpf", "-", "-C"])
                .arg(&plain)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            tar.stdin.take().unwrap().write_all(&output.stdout).unwrap();
            assert!(tar.wait().unwrap().success());
            assert_same(&unpacked, &plain, &format!("{kind:?}"));
            fs::remove_dir_all(&plain).unwrap();
        }
        if kind.contains(&"--sparse") {
            let taken = unpacked.join("sparse").metadata().unwrap().blocks() * 512;
            assert!(taken < SPARSE / 4, "{kind:?}: {taken} bytes are taken by holes");
        }
        store.remove(&diff_id).unwrap();
    }
}

#[test]
fn what_is_written_gnu_tar_unpacks_as_it_was() {
    let Some(knows_attributes) = knows_attributes() else { return skip("this machine has no GNU tar") };
    let folder = folder();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    build(&source);
    let (whole, layer) = (folder.path().join("whole.tar"), folder.path().join("layer.tar"));
    tar::export(File::open(&source).unwrap().as_fd(), File::create(&whole).unwrap()).unwrap();
    tar::diff(File::open(&source).unwrap().as_fd(), File::create(&layer).unwrap()).unwrap();
    for archive in [&whole, &layer] {
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        let mut command = Command::new("tar");
        // One file is older than tar thinks likely.
        command.args(["--warning=no-timestamp", "--numeric-owner", "-xpf"]).arg(archive).arg("-C").arg(&target);
        if knows_attributes {
            command.args(["--xattrs", "--xattrs-include=*"]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A name that GNU tar does not understand is skipped with a warning.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        if knows_attributes {
            assert_same(&target, &source, &archive.display().to_string());
        } else {
            skip("this tar knows no extended attributes");
        }
        fs::remove_dir_all(&target).unwrap();
    }
}

/// What an overlay's upper folder holds is listed by GNU tar with the names and kinds that OCI has for it.
#[test]
fn a_difference_is_listed_by_gnu_tar_with_its_whiteouts() {
    if knows_attributes().is_none() {
        return skip("this machine has no GNU tar");
    }
    let folder = folder();
    let upper = folder.path().join("upper");
    fs::create_dir_all(upper.join("opaque")).unwrap();
    fs::write(upper.join("opaque/new"), b"1").unwrap();
    rustix::fs::setxattr(upper.join("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    fs::write(upper.join("changed"), b"2").unwrap();
    rustix::fs::mknodat(CWD, upper.join("gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    let archive = folder.path().join("layer.tar");
    tar::diff(File::open(&upper).unwrap().as_fd(), File::create(&archive).unwrap()).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(&archive).output().unwrap();
    let mut names: Vec<String> = String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, [".wh.gone", "changed", "opaque/", "opaque/.wh..wh..opq", "opaque/new"]);
}
