//! Unpacking layers: what comes out on disk, and that nothing ever leaves the layer's own folder.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{XattrFlags, lgetxattr};
use wharf_storage::tar::{self, Entry, EntryKind, Limits, Writer};
use wharf_storage::{LayerInfo, LayerStore};
use wharf_types::{Digest, Kind, Result};

/// One entry for an archive, with data for files.
#[derive(Debug, Clone)]
struct Item(Entry, Vec<u8>);

fn file(path: impl AsRef<[u8]>, data: &[u8]) -> Item {
    let entry =
        Entry { mode: 0o644, size: data.len() as u64, mtime: (1_000_000_000, 0), ..Entry::new(path, EntryKind::File) };
    Item(entry, data.to_vec())
}

fn folder(path: &str) -> Item {
    Item(Entry { mode: 0o755, mtime: (1_000_000_000, 0), ..Entry::new(path, EntryKind::Directory) }, Vec::new())
}

fn link(kind: EntryKind, path: &str, target: &str) -> Item {
    Item(Entry { mode: 0o777, link: target.into(), ..Entry::new(path, kind) }, Vec::new())
}

fn symlink(path: &str, target: &str) -> Item {
    link(EntryKind::Symlink, path, target)
}

fn hard_link(path: &str, target: &str) -> Item {
    link(EntryKind::HardLink, path, target)
}

fn device(path: &str, kind: EntryKind, device: (u32, u32)) -> Item {
    Item(Entry { mode: 0o600, device, ..Entry::new(path, kind) }, Vec::new())
}

fn archive(items: &[Item]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for Item(entry, data) in items {
        match entry.kind {
            EntryKind::File => writer.append_file(entry, &data[..]).unwrap(),
            _ => writer.append(entry).unwrap(),
        }
    }
    writer.finish().unwrap()
}

struct Fixture {
    folder: tempfile::TempDir,
    store: LayerStore,
}

/// A folder in memory, for tests that unpack thousands of times; on disk where there is no such place.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Fixture {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(folder: tempfile::TempDir) -> Self {
        let store = LayerStore::open(&folder.path().join("layers")).unwrap();
        Self { folder, store }
    }

    fn unpack(&self, bytes: &[u8]) -> Result<(PathBuf, LayerInfo)> {
        let layer = self.store.unpack(bytes, None, &Limits::default())?;
        let info = layer.info();
        self.store.publish(vec![layer])?;
        Ok((self.store.path(&info.diff_id), info))
    }

    fn unpack_items(&self, items: &[Item]) -> Result<PathBuf> {
        self.unpack(&archive(items)).map(|(path, _)| path)
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.folder.path().join("layers/ingest")).unwrap().count()
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    lgetxattr(path, name, &mut buffer[..]).ok().map(|len| buffer[..len].to_vec())
}

fn is_whiteout(path: &Path) -> bool {
    let meta = path.symlink_metadata().unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

#[test]
fn a_layer_is_described_and_present_only_once_published() {
    let fixture = Fixture::new();
    let bytes = archive(&[folder("etc"), file("etc/passwd", b"root"), file("/abs", b"12")]);
    let layer = fixture.store.unpack(&bytes[..], Some(Digest::of(&bytes)), &Limits::default()).unwrap();
    let info = layer.info();
    assert_eq!((info.diff_id, info.size, info.entries), (Digest::of(&bytes), 6, 3));
    assert!(!fixture.store.has(&info.diff_id));
    let again = fixture.store.unpack(&bytes[..], None, &Limits::default()).unwrap();
    fixture.store.publish(vec![layer, again]).unwrap();
    assert_eq!(fixture.store.list().unwrap(), [info.diff_id]);
    let path = fixture.store.path(&info.diff_id);
    assert_eq!(fs::read(path.join("abs")).unwrap(), b"12");
    assert_eq!(fs::read(path.join("etc/passwd")).unwrap(), b"root");
    let reopened = LayerStore::open(&fixture.folder.path().join("layers")).unwrap();
    assert_eq!(reopened.info(&info.diff_id).unwrap(), info);
    reopened.remove(&info.diff_id).unwrap();
    reopened.remove(&info.diff_id).unwrap();
    assert_eq!(reopened.info(&info.diff_id).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(fixture.leftovers(), 0);
}

#[test]
fn owners_modes_times_and_kinds_are_kept() {
    let fixture = Fixture::new();
    let mut suid = file("bin/su", b"x");
    (suid.0.mode, suid.0.uid, suid.0.gid) = (0o4755, 12, 34);
    let mut group = folder("var/local");
    (group.0.mode, group.0.gid) = (0o2775, 50);
    let mut root = folder("./");
    root.0.mode = 0o700;
    let root = fixture
        .unpack_items(&[
            root,
            suid,
            group,
            file("var/local/inherits", b""),
            device("dev/null", EntryKind::CharDevice, (1, 3)),
            device("dev/sda", EntryKind::BlockDevice, (8, 0)),
            device("pipe", EntryKind::Fifo, (0, 0)),
            symlink("dangling", "/no/where"),
        ])
        .unwrap();
    let meta = |path: &str| root.join(path).symlink_metadata().unwrap();
    assert_eq!(meta("").mode() & 0o7777, 0o700);
    assert_eq!((meta("bin/su").mode() & 0o7777, meta("bin/su").uid(), meta("bin/su").gid()), (0o4755, 12, 34));
    assert_eq!((meta("var/local").mode() & 0o7777, meta("var/local").gid()), (0o2775, 50));
    assert_eq!(meta("var/local/inherits").gid(), 0);
    assert_eq!((meta("bin").mode() & 0o7777, meta("bin/su").mtime()), (0o755, 1_000_000_000));
    // A folder's time is its own although entries came into it later.
    assert_eq!(meta("var/local").mtime(), 1_000_000_000);
    assert!(meta("dev/null").file_type().is_char_device());
    assert_eq!(meta("dev/null").rdev(), rustix::fs::makedev(1, 3));
    assert!(meta("dev/sda").file_type().is_block_device());
    assert!(meta("pipe").file_type().is_fifo());
    assert_eq!(fs::read_link(root.join("dangling")).unwrap(), Path::new("/no/where"));
}

#[test]
fn whiteouts_become_overlays_own() {
    let fixture = Fixture::new();
    let root = fixture
        .unpack_items(&[
            file(".wh.gone", b""),
            folder("opaque"),
            file("opaque/.wh..wh..opq", b""),
            file("opaque/new", b"n"),
            // Hidden below, but this layer has its own.
            folder("both"),
            file(".wh.both", b""),
            file(".wh.later", b""),
            folder("later"),
            file(".wh.deep", b""),
            file("deep/er/file", b"d"),
            file("kept", b"k"),
            file(".wh.kept", b""),
            file(".wh..wh.plnk", b""),
        ])
        .unwrap();
    let opaque = |path: &str| xattr(&root.join(path), "trusted.overlay.opaque");
    assert!(is_whiteout(&root.join("gone")));
    assert_eq!(opaque("opaque").unwrap(), b"y");
    assert_eq!(fs::read(root.join("opaque/new")).unwrap(), b"n");
    for path in ["both", "later", "deep"] {
        assert_eq!(opaque(path).unwrap(), b"y", "{path}");
    }
    assert_eq!(opaque("deep/er"), None);
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"k");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 6);
}

#[test]
fn a_layer_that_hides_all_below_ends_the_stack() {
    let fixture = Fixture::new();
    let (lower, lower_info) = fixture.unpack(&archive(&[file("a", b"")])).unwrap();
    let (upper, upper_info) = fixture.unpack(&archive(&[file(".wh..wh..opq", b""), file("b", b"")])).unwrap();
    assert_eq!(fixture.store.stack(&[lower_info.diff_id, upper_info.diff_id]), std::slice::from_ref(&upper));
    assert_eq!(fixture.store.stack(&[upper_info.diff_id, lower_info.diff_id]), [lower, upper]);
}

#[test]
fn hard_links_duplicates_and_changes_of_kind() {
    let fixture = Fixture::new();
    let root = fixture
        .unpack_items(&[
            file("one", b"1"),
            hard_link("two", "/one"),
            symlink("sym", "one"),
            hard_link("sym2", "./sym"),
            file("twice", b"old"),
            hard_link("old", "twice"),
            file("twice", b"new!"),
            folder("was-folder/full"),
            file("was-folder/full/x", b""),
            file("was-folder", b"now a file"),
            symlink("was-link", "one"),
            folder("was-link"),
            file("was-link/inside", b""),
            hard_link("one", "one"),
        ])
        .unwrap();
    let inode = |path: &str| root.join(path).symlink_metadata().unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    assert_eq!(inode("sym"), inode("sym2"));
    assert_eq!(fs::read(root.join("twice")).unwrap(), b"new!");
    assert_eq!(fs::read(root.join("old")).unwrap(), b"old");
    assert_eq!(fs::read(root.join("was-folder")).unwrap(), b"now a file");
    assert!(root.join("was-link").symlink_metadata().unwrap().is_dir());
    assert!(root.join("was-link/inside").exists());
}

#[test]
fn attributes_are_set_but_never_overlays_own() {
    let fixture = Fixture::new();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut item = file("ping", b"x");
    item.0.uid = 5;
    item.0.xattrs = vec![
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"user.note".to_vec(), b"a\0b".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"trusted.overlay.metacopy".to_vec(), Vec::new()),
        (b"security.selinux".to_vec(), b"x".to_vec()),
    ];
    let mut link = symlink("link", "ping");
    link.0.xattrs = vec![(b"trusted.note".to_vec(), b"t".to_vec()), (b"user.no".to_vec(), b"n".to_vec())];
    let root = fixture.unpack_items(&[item, link]).unwrap();
    let ping = root.join("ping");
    assert_eq!(xattr(&ping, "security.capability").unwrap(), capability);
    assert_eq!(xattr(&ping, "user.note").unwrap(), b"a\0b");
    assert_eq!(xattr(&root.join("link"), "trusted.note").unwrap(), b"t");
    for name in ["trusted.overlay.redirect", "trusted.overlay.metacopy"] {
        assert_eq!(xattr(&ping, name), None);
    }
}

#[test]
fn names_may_be_long_and_of_any_bytes() {
    let fixture = Fixture::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let odd = b"caf\xe9\xff\n".to_vec();
    let root = fixture.unpack_items(&[file(&long, b"l"), file(&odd, b"o")]).unwrap();
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"l");
    assert_eq!(fs::read(root.join(std::ffi::OsStr::from_bytes(&odd))).unwrap(), b"o");

    let mut gnu = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o600);
    gnu.append_data(&mut header, &long, &b"g"[..]).unwrap();
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    gnu.append_link(&mut header, "short", &long).unwrap();
    let (root, _) = fixture.unpack(&gnu.into_inner().unwrap()).unwrap();
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"g");
    assert_eq!(fs::read_link(root.join("short")).unwrap(), Path::new(&long));
}

#[test]
fn what_no_layer_may_have_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new();
    let long = "x/".repeat(3000);
    for items in [
        &[file("../up", b"")][..],
        &[file("a/../../up", b"")],
        &[hard_link("a", "missing")],
        &[hard_link("a", "../../etc/passwd")],
        &[file(".wh..", b"")],
        &[file("a", b""), file("a/b", b"")],
        &[symlink("loop", "loop"), file("loop/x", b"")],
        &[file("n".repeat(300), b"")],
        &[file(&long, b"")],
        &[device("./", EntryKind::Fifo, (0, 0))],
    ] {
        let error = fixture.unpack_items(items).expect_err(&format!("{items:?}"));
        assert_eq!(error.kind(), Kind::InvalidParameter, "{error:?}");
    }
    assert_eq!((fixture.leftovers(), fixture.store.list().unwrap().len()), (0, 0));
}

#[test]
fn limits_hold() {
    let fixture = Fixture::new();
    let bytes = archive(&[file("a", &[0; 5000]), file("b", b"")]);
    for limits in [Limits { entries: 1, ..Limits::default() }, Limits { bytes: 4000, ..Limits::default() }] {
        let error = fixture.store.unpack(&bytes[..], None, &limits).err().unwrap();
        assert_eq!(error.kind(), Kind::InvalidParameter);
    }
    let error = fixture.store.unpack(&bytes[..], Some(Digest::of(b"")), &Limits::default()).err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(fixture.leftovers(), 0);
}

/// Sixty-four mebibytes of nothing, packed into very little.
#[test]
fn a_bomb_is_stopped_at_the_limit_however_it_is_packed() {
    let fixture = Fixture::new();
    let bomb = archive(&[file("bomb", &vec![0; 64 << 20])]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&bomb).unwrap();
    let many: Vec<Item> = (0..5000).map(|number| file(format!("{number}"), b"")).collect();
    let many = zstd::encode_all(&archive(&many)[..], 19).unwrap();
    let (bytes, entries) =
        (Limits { bytes: 1 << 20, ..Limits::default() }, Limits { entries: 1000, ..Limits::default() });
    let bombs = [(gzip.finish().unwrap(), bytes), (zstd::encode_all(&bomb[..], 3).unwrap(), bytes), (many, entries)];
    for (packed, limits) in bombs {
        assert!(packed.len() < 200_000);
        let error = fixture.store.unpack(&packed[..], None, &limits).err().unwrap();
        assert_eq!(error.kind(), Kind::InvalidParameter, "{error:?}");
        assert_eq!(fixture.leftovers(), 0);
    }
}

#[test]
fn a_cut_at_any_byte_is_noticed_and_leaves_nothing() {
    let fixture = Fixture::within(quick_folder());
    let bytes = archive(&[folder("a"), file("a/b", &[7; 700]), symlink("c", &"long".repeat(50)), file("d", b"")]);
    let last_needed = bytes.len() - 512;
    for cut in 0..last_needed {
        let error = fixture.store.unpack(&bytes[..cut], None, &Limits::default()).err().unwrap();
        let expected = if cut < 512 { Kind::InvalidParameter } else { Kind::Corrupt };
        assert_eq!(error.kind(), expected, "cut at {cut}: {error:?}");
    }
    assert!(fixture.store.unpack(&bytes[..last_needed], None, &Limits::default()).is_ok());
    let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let gzip = gzip.finish().unwrap();
    for compressed in [&zstd[..], &gzip] {
        assert!(fixture.store.unpack(compressed, None, &Limits::default()).is_ok());
        for cut in 8..compressed.len() {
            let error = fixture.store.unpack(&compressed[..cut], None, &Limits::default()).err().unwrap();
            assert_eq!(error.kind(), Kind::Corrupt, "cut at {cut}: {error:?}");
        }
    }
    assert_eq!(fixture.leftovers(), 0);
}

#[test]
fn sparse_files_of_gnu_tar_are_read_in_all_spellings() {
    let fixture = Fixture::new();
    let source = tempfile::tempdir().unwrap();
    let mut expected = vec![0; 3_000_000];
    let sparse = fs::File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(expected.len() as u64).unwrap();
    for i in 0..30 {
        let offset = i * 100_000 / 4096 * 4096;
        std::os::unix::fs::FileExt::write_at(&sparse, &[i as u8 + 1; 4096], offset as u64).unwrap();
        expected[offset..offset + 4096].fill(i as u8 + 1);
    }
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let tar = std::process::Command::new("tar")
            .args(format)
            .args(["--sparse", "-cf", "-", "-C"])
            .arg(source.path())
            .arg("sparse")
            .output()
            .unwrap();
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        assert!(tar.stdout.len() < expected.len());
        let (root, info) = fixture.unpack(&tar.stdout).unwrap();
        assert_eq!(info.size, expected.len() as u64, "{format:?}");
        assert!(fs::read(root.join("sparse")).unwrap() == expected, "{format:?}");
        assert!(root.join("sparse").metadata().unwrap().blocks() * 512 < 1_000_000, "{format:?}");
    }
}

#[test]
fn copying_into_a_tree_merges_and_never_changes_a_files_kind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("etc/old"), b"o").unwrap();
    let root = fs::File::open(folder.path()).unwrap();
    let extract =
        |items: &[Item]| tar::extract(&archive(items)[..], std::os::fd::AsFd::as_fd(&root), &Limits::default());
    let mut dot = self::folder("./");
    dot.0.mode = 0;
    extract(&[dot, self::folder("etc"), file("etc/new", b"n"), file("etc/old", b"O"), file(".wh.name", b"w")]).unwrap();
    assert_eq!(fs::read(folder.path().join("etc/old")).unwrap(), b"O");
    assert_eq!(fs::read(folder.path().join(".wh.name")).unwrap(), b"w");
    let error = extract(&[file("etc", b"")]).unwrap_err();
    assert_eq!(error.to_string(), "cannot overwrite directory \"/etc\" with non-directory");
    let error = extract(&[self::folder("etc/new")]).unwrap_err();
    assert_eq!(error.to_string(), "cannot overwrite non-directory \"/etc/new\" with directory");
}

/// Names that try to get out: parts that are themselves, links of the archive or the way up.
fn wild_path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "..", ".", "", "canary", ".wh.a", ".wh..wh..opq", "link"]);
    (any::<bool>(), prop::collection::vec(part, 1..5))
        .prop_map(|(is_absolute, parts)| format!("{}{}", if is_absolute { "/" } else { "" }, parts.join("/")))
}

fn wild_item() -> impl Strategy<Value = Item> {
    let target = prop_oneof![
        wild_path(),
        Just("../../../../canary".to_owned()),
        Just("/proc/self/root/tmp".to_owned()),
        Just("/proc/self/cwd".to_owned()),
    ];
    (wild_path(), target, 0..6u8).prop_map(|(path, target, kind)| match kind {
        0 => folder(&path),
        1 | 2 => symlink(&path, &target),
        3 => hard_link(&path, &target),
        _ => file(&path, b"wild"),
    })
}

/// Everything below a folder with what could have been changed.
fn census(root: &Path) -> Vec<(PathBuf, u32, i64, u64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let data = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            all.push((path.clone(), meta.mode(), meta.ctime_nsec(), meta.nlink(), data));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_the_folder_is_touched(items in prop::collection::vec(wild_item(), 1..12)) {
        let outer = quick_folder();
        let canary = outer.path().join("canary");
        fs::create_dir_all(canary.join("a/b")).unwrap();
        fs::write(canary.join("c"), b"alive").unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        rustix::fs::setxattr(&canary, "user.a", b"b", XattrFlags::empty()).unwrap();
        let before = census(&canary);
        let bytes = archive(&items);
        let root = fs::File::open(outer.path().join("root")).unwrap();
        // Most of these archives are refused somewhere in the middle, which is fine.
        tar::extract(&bytes[..], std::os::fd::AsFd::as_fd(&root), &Limits::default()).ok();
        let store = LayerStore::open(&outer.path().join("layers")).unwrap();
        store.unpack(&bytes[..], None, &Limits::default()).ok();
        prop_assert_eq!(fs::read_dir(outer.path().join("layers/ingest")).unwrap().count(), 0);
        prop_assert_eq!(census(&canary), before);
        prop_assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 3);
    }

    #[test]
    fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..600), flips in prop::collection::vec((0..3000usize, any::<u8>()), 0..6)) {
        let folder = quick_folder();
        let store = LayerStore::open(folder.path()).unwrap();
        store.unpack(&bytes[..], None, &Limits::default()).ok();
        bytes = archive(&[self::folder("a"), file("a/b", b"data"), symlink("c", "a"), file("l".repeat(150), b"x")]);
        for (at, value) in flips {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        store.unpack(&bytes[..], None, &Limits { bytes: 1 << 24, ..Limits::default() }).ok();
        prop_assert_eq!(fs::read_dir(folder.path().join("ingest")).unwrap().count(), 0);
    }
}
