//! Blobs that are given up and made anew, and layers that are compared with them.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use wharf_storage::tar::Limits;
use wharf_storage::{BlobInfo, LayerStore};
use wharf_types::Digest;

struct Fixture {
    folder: tempfile::TempDir,
    layers: LayerStore,
    diff_id: Digest,
}

impl Fixture {
    fn new(tar: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layers = LayerStore::open(&folder.path().join("layers")).unwrap();
        let staged = layers.unpack(tar, None, &Limits::default()).unwrap();
        let diff_id = staged.info().diff_id;
        layers.publish(vec![staged]).unwrap();
        Self { folder, layers, diff_id }
    }

    fn note(&self, blob: &[u8]) -> (Digest, bool) {
        let path = self.folder.path().join("blob");
        fs::write(&path, blob).unwrap();
        let info = BlobInfo { digest: Digest::of(blob), size: blob.len() as u64 };
        let noted = self.layers.note_blob(&self.diff_id, info, &|| Ok(File::open(&path).unwrap())).unwrap();
        (info.digest, noted)
    }

    fn rebuilt(&self, blob: &Digest) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.layers.rebuild(&self.diff_id, blob).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn file(&self, name: &str) -> PathBuf {
        self.layers.path(&self.diff_id).join(name)
    }
}

/// Files small and large, one that a later entry replaces, links, a whiteout, a sparse file of GNU tar's old kind.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_600_000_000);
        builder.append_data(&mut header, name, data).unwrap();
    };
    add("etc/twice", b"the first time");
    add("etc/large", &(0..700_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect::<Vec<u8>>());
    add("etc/twice", b"the second time, which stays");
    add("etc/.wh.gone", b"");
    add(&"long/".repeat(60), b"deep");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Link);
    link.set_size(0);
    builder.append_link(&mut link, "hard", "etc/large").unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn what_can_be_made_anew_is_the_same_byte_for_byte() {
    let mut tar = tar();
    // Some writers fill up to 10 KiB, some go on with zeros.
    tar.extend_from_slice(&[0; 8192]);
    let fixture = Fixture::new(&tar);
    let mut checksummed = zstd::Encoder::new(Vec::new(), 3).unwrap();
    checksummed.include_checksum(true).unwrap();
    checksummed.write_all(&tar).unwrap();
    let blobs = [tar.clone(), zstd::encode_all(&tar[..], 3).unwrap(), checksummed.finish().unwrap()];
    for (number, blob) in blobs.into_iter().enumerate() {
        let (digest, noted) = fixture.note(&blob);
        assert!(noted, "blob {number} cannot be made anew");
        assert!(fixture.rebuilt(&digest) == blob);
        assert_eq!(fixture.layers.rebuilt_size(&fixture.diff_id, &digest).unwrap(), blob.len() as u64);
    }
    let reopened = LayerStore::open(&fixture.folder.path().join("layers")).unwrap();
    assert!(reopened.can_rebuild(&fixture.diff_id, &Digest::of(&tar)));
    let split = fixture.file("../split").metadata().unwrap().len();
    assert!(split < 2000, "{split} bytes are noted");
}

#[test]
fn what_another_compressor_made_is_kept() {
    let tar = tar();
    let fixture = Fixture::new(&tar);
    for blob in [gzip(&tar), zstd::encode_all(&tar[..], 7).unwrap()] {
        let (digest, noted) = fixture.note(&blob);
        assert!(!noted && !fixture.layers.can_rebuild(&fixture.diff_id, &digest));
    }
}

#[test]
fn damage_of_a_layer_is_found_and_replaced() {
    let tar = tar();
    let fixture = Fixture::new(&tar);
    assert_eq!(fixture.layers.verify(&fixture.diff_id, &tar[..]).unwrap().difference, None);
    let (digest, _) = fixture.note(&tar);
    let damages: [(&str, &dyn Fn()); 6] = [
        (": its content differs", &|| flip(&fixture.file("etc/large"))),
        ("/etc/twice is missing", &|| fs::remove_file(fixture.file("etc/twice")).unwrap()),
        ("/etc/new does not belong there", &|| fs::write(fixture.file("etc/new"), b"").unwrap()),
        ("/etc/twice: its mode differs", &|| {
            fs::set_permissions(fixture.file("etc/twice"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("/etc/gone is missing", &|| fs::remove_file(fixture.file("etc/gone")).unwrap()),
        ("damaged", &|| fs::write(fixture.file("../layer.json"), b"{").unwrap()),
    ];
    for (expected, damage) in damages {
        damage();
        let verified = fixture.layers.verify(&fixture.diff_id, &tar[..]).unwrap();
        let difference = verified.difference.unwrap();
        assert!(difference.contains(expected), "{difference}");
        fixture.layers.replace(vec![verified.fresh]).unwrap();
        assert_eq!(fixture.layers.verify(&fixture.diff_id, &tar[..]).unwrap().difference, None);
        assert!(fixture.rebuilt(&digest) == tar);
    }
    fs::remove_dir_all(fixture.file("..")).unwrap();
    let verified = fixture.layers.verify(&fixture.diff_id, &tar[..]).unwrap();
    fixture.layers.replace(vec![verified.fresh]).unwrap();
    assert_eq!(fixture.layers.verify(&fixture.diff_id, &tar[..]).unwrap().difference, None);
}

/// Changes one byte and nothing else that anybody could see.
fn flip(path: &std::path::Path) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"\xff", 4321).unwrap();
    file.set_modified(time).unwrap();
}
