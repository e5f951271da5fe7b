//! Writing trees out, overlay mounts, and deleting.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, IFlags, Mode, XattrFlags};
use wharf_storage::tar::{self, Limits};
use wharf_storage::{LayerStore, Snapshots, Usage, overlay};
use wharf_types::Id;

fn id(byte: u8) -> Id {
    Id::from_random([byte; 32])
}

fn open(path: &Path) -> fs::File {
    fs::File::open(path).unwrap()
}

/// A tree with one of everything.
fn build_tree(root: &Path) {
    fs::create_dir_all(root.join("etc/deep")).unwrap();
    fs::write(root.join("etc/passwd"), b"root").unwrap();
    fs::hard_link(root.join("etc/passwd"), root.join("etc/same")).unwrap();
    fs::write(root.join("etc/deep").join("n".repeat(120)), vec![b'x'; 200_000]).unwrap();
    fs::set_permissions(root.join("etc/passwd"), fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::symlink("l".repeat(150), root.join("link")).unwrap();
    std::os::unix::fs::lchown(root.join("link"), Some(3_000_000), Some(7)).unwrap();
    rustix::fs::setxattr(root.join("etc"), "user.note", b"v", XattrFlags::empty()).unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::RWXU, null).unwrap();
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
}

/// What two equal trees have in common, in order.
fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = match meta.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                kind if kind.is_file() => format!("{:x?}", fs::read(&path).unwrap().len()),
                _ => String::new(),
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            let (mode, owner, mtime) = (meta.mode(), (meta.uid(), meta.gid()), meta.mtime());
            lines.push(format!("{name} {mode:o} {owner:?} {mtime} {links} {} {content}", meta.rdev()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines
}

#[test]
fn what_is_exported_unpacks_to_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    build_tree(&source);
    let mut bytes = Vec::new();
    tar::export(open(&source).as_fd(), &mut bytes).unwrap();
    let mut again = Vec::new();
    tar::export(open(&source).as_fd(), &mut again).unwrap();
    assert!(bytes == again, "the order is not deterministic");
    tar::extract(&bytes[..], open(&target).as_fd(), &Limits::default()).unwrap();
    fs::remove_file(source.join("socket")).unwrap();
    fs::create_dir(source.join("x")).unwrap();
    fs::remove_dir(source.join("x")).unwrap();
    assert_eq!(describe(&target), describe(&source));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(target.join("etc"), "user.note", &mut value[..]).unwrap(), 1);
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    build_tree(&source);
    let mut bytes = Vec::new();
    tar::export(open(&source).as_fd(), &mut bytes).unwrap();
    let mut child = Command::new("tar")
        .args(["--numeric-owner", "-xpf", "-", "-C"])
        .arg(&target)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    fs::remove_file(source.join("socket")).unwrap();
    assert_eq!(describe(&target), describe(&source));
}

#[test]
fn one_entry_is_exported_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    build_tree(folder.path());
    for (name, as_name, expected) in
        [("etc", "conf", &["conf/", "conf/deep/", "conf/passwd", "conf/same"][..]), ("null", "zero", &["zero"])]
    {
        let mut bytes = Vec::new();
        tar::export_entry(open(folder.path()).as_fd(), OsStr::new(name), OsStr::new(as_name), &mut bytes).unwrap();
        let mut reader = tar::Reader::new(&bytes[..], &Limits::default());
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        names.retain(|name| name.len() < 100);
        assert_eq!(names, expected);
    }
}

/// Two layers and a container on top that changes things; what is seen in the end.
struct Container {
    folder: tempfile::TempDir,
    layers: Vec<PathBuf>,
    snapshots: Snapshots,
    store: LayerStore,
}

impl Container {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layers = vec![folder.path().join("upper layer, with:odd\\name"), folder.path().join("base")];
        for layer in &layers {
            fs::create_dir(layer).unwrap();
        }
        fs::create_dir_all(layers[1].join("dir/sub")).unwrap();
        for name in ["a", "b", "dir/old", "dir/sub/x"] {
            fs::write(layers[1].join(name), name).unwrap();
        }
        fs::write(layers[0].join("b"), "covers").unwrap();
        let snapshots = Snapshots::open(&folder.path().join("containers")).unwrap();
        let store = LayerStore::open(&folder.path().join("layers")).unwrap();
        Self { folder, layers, snapshots, store }
    }
}

#[test]
fn changes_of_a_container_become_a_layer_that_gives_the_same_tree() {
    let container = Container::new();
    let snapshot = container.snapshots.prepare(&id(1)).unwrap();
    assert_eq!(snapshot.upper.metadata().unwrap().mode() & 0o777, 0o755);
    {
        let root = overlay::mount_container(&container.layers, &snapshot, true).unwrap();
        let root = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&root)));
        assert_eq!(fs::read(root.join("b")).unwrap(), b"covers");
        fs::remove_file(root.join("a")).unwrap();
        fs::remove_dir_all(root.join("dir")).unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/new"), "new").unwrap();
        fs::write(root.join("b"), "changed").unwrap();
    }
    let mut seen = Vec::new();
    let root = overlay::mount_container(&container.layers, &snapshot, false).unwrap();
    tar::export(root.as_fd(), &mut seen).unwrap();
    drop(root);

    let mut bytes = Vec::new();
    tar::diff(open(&snapshot.upper).as_fd(), &mut bytes).unwrap();
    let layer = container.store.unpack(&bytes[..], None, &Limits::default()).unwrap();
    let diff_id = layer.info().diff_id;
    container.store.publish(vec![layer]).unwrap();
    let mut layers = container.store.stack(&[diff_id]);
    layers.extend(container.layers.iter().cloned());
    let mut rebuilt = Vec::new();
    tar::export(overlay::mount_layers(&layers).unwrap().as_fd(), &mut rebuilt).unwrap();
    assert!(rebuilt == seen);

    let names = |bytes: &[u8]| {
        let mut reader = tar::Reader::new(bytes, &Limits::default());
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(entry.name());
        }
        names
    };
    assert_eq!(names(&bytes), [".wh.a", "b", "dir/", "dir/.wh..wh..opq", "dir/new"]);
    assert_eq!(names(&seen), ["b", "dir/", "dir/new"]);
    assert_eq!(container.snapshots.usage(&id(1)).unwrap().bytes, 10);
    drop(container.folder);
}

#[test]
fn a_mount_is_attached_nowhere_and_may_be_read_only() {
    let container = Container::new();
    let snapshot = container.snapshots.prepare(&id(2)).unwrap();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = overlay::mount_container(&container.layers, &snapshot, false).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&root)));
    assert!(fs::write(path.join("x"), b"").is_err());
    assert!(!mounts().contains(container.folder.path().to_str().unwrap()));
    let single = overlay::mount_layers(&container.layers[1..]).unwrap();
    let mut bytes = Vec::new();
    tar::export(single.as_fd(), &mut bytes).unwrap();
    assert!(bytes.len() > 2048);
    assert_eq!(fs::read_dir(&snapshot.work).unwrap().count(), 0);
}

#[test]
fn removal_is_idempotent_follows_no_links_and_knows_no_depth() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), b"alive").unwrap();
    let snapshots = Snapshots::open(&folder.path().join("containers")).unwrap();
    let snapshot = snapshots.prepare(&id(3)).unwrap();
    assert_eq!(snapshots.prepare(&id(3)).unwrap(), snapshot);
    std::os::unix::fs::symlink(&canary, snapshot.upper.join("link")).unwrap();
    let mut fd = open(&snapshot.upper);
    for _ in 0..1000 {
        rustix::fs::mkdirat(&fd, "d", Mode::RWXU).unwrap();
        rustix::fs::mknodat(&fd, "file", FileType::RegularFile, Mode::RWXU, 0).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        fd = rustix::fs::openat(&fd, "d", flags, Mode::empty()).unwrap().into();
    }
    drop(fd);
    assert_eq!(Usage::of(open(&snapshot.upper).as_fd()).unwrap().inodes, 2002);
    tar::export(open(&snapshot.upper).as_fd(), std::io::sink()).unwrap();
    assert_eq!(snapshots.list().unwrap(), [id(3)]);
    snapshots.remove(&id(3)).unwrap();
    snapshots.remove(&id(3)).unwrap();
    assert_eq!(snapshots.list().unwrap(), []);
    assert_eq!(fs::read(canary.join("file")).unwrap(), b"alive");
    assert_eq!(fs::read_dir(folder.path().join("containers/.trash")).unwrap().count(), 0);
}

#[test]
fn what_is_discarded_goes_with_the_trash_even_if_protected() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let trash = || fs::read_dir(folder.path().join(".trash")).unwrap().count();
    for _ in 0..2 {
        let snapshot = snapshots.prepare(&id(4)).unwrap();
        let protected = fs::File::create(snapshot.upper.join("protected")).unwrap();
        // Not every file system knows the flag.
        rustix::fs::ioctl_setflags(&protected, IFlags::IMMUTABLE).ok();
        rustix::fs::ioctl_setflags(open(&snapshot.upper), IFlags::APPEND).ok();
        snapshots.discard(&id(4)).unwrap();
        assert!(!snapshot.dir.exists());
    }
    assert_eq!(trash(), 2);
    snapshots.empty_trash().unwrap();
    assert_eq!(trash(), 0);
}

#[test]
fn folders_in_stock_are_taken_once_and_never_in_place_of_those_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let first = snapshots.prepare(&id(1)).unwrap();
    fs::write(first.upper.join("kept"), "").unwrap();
    snapshots.stock().unwrap();
    snapshots.stock().unwrap();
    snapshots.prepare(&id(1)).unwrap();
    assert!(first.upper.join("kept").exists());
    let second = snapshots.prepare(&id(2)).unwrap();
    let modes = [&second.dir, &second.upper, &second.work].map(|dir| dir.metadata().unwrap().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o755, 0o700]);
    assert!(!folder.path().join(".spare").exists());
}
