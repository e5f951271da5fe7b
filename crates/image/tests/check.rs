//! Damage of every kind is found, named and mended; blobs that are given up come back byte for byte.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

mod support;

use std::fs;
use std::path::PathBuf;

use support::{Fixture, docker_archive, gzip, layer};
use wharf_image::{Checked, Finding, Flaw, Look};
use wharf_types::Digest;

fn check(fixture: &Fixture, repair: bool) -> (Checked, Vec<Finding>) {
    let mut found = Vec::new();
    let checked = fixture.store.check(repair, &|_| false, &mut |look| {
        if let Look::Found(finding) = look {
            found.push(finding);
        }
        true
    });
    (checked.unwrap(), found)
}

fn flaws(fixture: &Fixture, repair: bool) -> Vec<(Flaw, bool)> {
    check(fixture, repair).1.iter().map(|finding| (finding.flaw, finding.repaired.is_some())).collect()
}

fn archive() -> Vec<u8> {
    docker_archive("web:1", &[layer(&[("a", b"one"), ("b", b"two")]), layer(&[("c", b"three")])])
}

fn blob(fixture: &Fixture, digest: &Digest) -> PathBuf {
    fixture.folder.path().join("content/blobs/sha256").join(digest.hex())
}

fn flip(path: PathBuf) {
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn loaded() -> (Fixture, Vec<Digest>, Vec<Digest>) {
    let fixture = Fixture::new();
    fixture.store.load(&archive()[..], None, &|_| {}).unwrap();
    let image = fixture.store.resolve("web:1").unwrap();
    let manifest = fixture.store.content().read(&image.manifest.digest, 1 << 20).unwrap();
    let manifest: wharf_image::Manifest = serde_json::from_slice(&manifest).unwrap();
    let blobs = manifest.layers.iter().map(|layer| layer.digest).collect();
    (fixture, blobs, image.diff_ids().to_vec())
}

#[test]
fn a_whole_store_has_no_flaws() {
    let (fixture, ..) = loaded();
    let (checked, found) = check(&fixture, true);
    assert_eq!((checked.blobs, checked.layers, checked.uncompared, found.len()), (4, 2, 0, 0));
    assert_eq!(fixture.leftovers(), 0);
}

#[test]
fn a_damaged_layer_is_unpacked_anew_unless_it_is_in_use() {
    let (fixture, _, layers) = loaded();
    flip(fixture.store.layers().path(&layers[0]).join("a"));
    assert_eq!(flaws(&fixture, false), [(Flaw::DamagedLayer, false)]);
    let mut busy = Vec::new();
    fixture
        .store
        .check(true, &|layer| *layer == layers[0], &mut |look| {
            busy.extend(if let Look::Found(finding) = look { Some(finding) } else { None });
            true
        })
        .unwrap();
    assert!(busy[0].detail.contains("running container") && busy[0].repaired.is_none(), "{busy:?}");
    assert_eq!(flaws(&fixture, true), [(Flaw::DamagedLayer, true)]);
    assert_eq!(flaws(&fixture, false), []);
    assert_eq!(fs::read(fixture.store.layers().path(&layers[0]).join("a")).unwrap(), b"one");

    fs::remove_dir_all(fixture.folder.path().join("layers/sha256").join(layers[1].hex())).unwrap();
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.broken().len(), 1);
    assert_eq!(fixture.store.resolve("web:1").unwrap_err().kind(), wharf_types::Kind::NotFound);
    assert_eq!(flaws(&fixture, false), [(Flaw::MissingLayer, false), (Flaw::BrokenImage, false)]);
    assert_eq!(flaws(&fixture, true), [(Flaw::MissingLayer, true)]);
    assert_eq!(fixture.store.resolve("web:1").unwrap().layers.len(), 2);
}

#[test]
fn damaged_blobs_are_deleted_and_come_back_with_the_image() {
    let (fixture, blobs, _) = loaded();
    flip(blob(&fixture, &blobs[0]));
    let cut = fs::read(blob(&fixture, &blobs[1])).unwrap();
    fs::write(blob(&fixture, &blobs[1]), &cut[..cut.len() - 1]).unwrap();
    fs::write(blob(&fixture, &blobs[1]).with_file_name("notes.txt"), b"").unwrap();
    let found = check(&fixture, false).1;
    let kinds: Vec<Flaw> = found.iter().map(|finding| finding.flaw).collect();
    assert_eq!(kinds, [Flaw::Stray, Flaw::DamagedBlob, Flaw::DamagedBlob]);
    assert_eq!(found[0].subject, "notes.txt");
    assert!(found.iter().any(|finding| finding.subject == blobs[0].to_string()));
    let found = check(&fixture, true).1;
    let last = found.last().unwrap();
    assert_eq!((last.flaw, last.subject.as_str()), (Flaw::IncompleteImage, "web:1"));
    assert!(last.detail.contains(&blobs[0].to_string()) && last.detail.contains(&blobs[1].to_string()));
    assert!(fixture.store.save(&["web:1"], None, std::io::sink()).is_err());
    fixture.store.load(&archive()[..], None, &|_| {}).unwrap();
    assert_eq!(flaws(&fixture, false), [(Flaw::Stray, false)]);
    fixture.store.save(&["web:1"], None, std::io::sink()).unwrap();
}

#[test]
fn a_damaged_configuration_breaks_its_image_until_it_comes_back() {
    let (fixture, ..) = loaded();
    let id = fixture.store.resolve("web:1").unwrap().id;
    flip(blob(&fixture, &id));
    assert_eq!(flaws(&fixture, true), [(Flaw::DamagedBlob, true), (Flaw::BrokenImage, false)]);
    fixture.store.collect().unwrap();
    let kept = fixture.contents();
    assert_eq!(kept, (3, 2), "what a pull need not fetch again stays");
    fixture.store.load(&archive()[..], None, &|_| {}).unwrap();
    assert_eq!(flaws(&fixture, false), []);
}

#[test]
fn orphans_are_counted_and_collected() {
    let (fixture, ..) = loaded();
    let stray = fixture.store.content().stage(b"nobody wants this").unwrap();
    fixture.store.content().publish(vec![stray]).unwrap();
    assert_eq!(flaws(&fixture, false), [(Flaw::Orphan, false)]);
    assert_eq!(flaws(&fixture, true), [(Flaw::Orphan, true)]);
    assert_eq!(fixture.contents(), (4, 2));
}

#[test]
fn images_are_found_again_when_the_index_is_damaged() {
    let (fixture, ..) = loaded();
    let nameless = fixture.import("other", None);
    let index = fixture.folder.path().join("content/index.json");
    let whole = fs::read(&index).unwrap();
    for damaged in [&whole[..whole.len() - 3], b"", &whole[..whole.len() / 3]] {
        fs::write(&index, damaged).unwrap();
        let again = wharf_image::ImageStore::open(fixture.folder.path()).unwrap();
        assert_eq!(again.list().len(), 2, "{}", String::from_utf8_lossy(damaged));
        assert!(again.get(&nameless).is_some());
        assert_eq!(fs::read(index.with_file_name("index.json.damaged")).unwrap(), damaged);
        assert_eq!(again.resolve("web:1").is_ok(), damaged.len() + 3 == whole.len());
        let mut found = Vec::new();
        again
            .check(true, &|_| false, &mut |look| {
                found.extend(if let Look::Found(finding) = look { Some(finding.flaw) } else { None });
                true
            })
            .unwrap();
        assert_eq!(found, [Flaw::Index]);
        assert_eq!(wharf_image::ImageStore::open(fixture.folder.path()).unwrap().list().len(), 2);
    }
}

#[test]
fn blobs_that_are_given_up_come_back_byte_for_byte() {
    let (fixture, blobs, layers) = loaded();
    fixture.store.load(&docker_archive("gz:1", &[layer(&[("z", b"z")])])[..], None, &|_| {}).unwrap();
    fixture.store.import(&gzip(&layer(&[("packed", b"elsewhere")]))[..], &Default::default()).unwrap();
    let mut before = Vec::new();
    fixture.store.save(&["web:1", "gz:1"], None, &mut before).unwrap();
    let given = fixture.store.give_up_blobs(&mut |_: &Digest| true).unwrap();
    assert_eq!((given.blobs, given.kept), (3, 1));
    let fixture = fixture.reopen();
    assert!(!fixture.store.content().has(&blobs[0]) && fixture.store.has_blob(&blobs[0]));
    let mut after = Vec::new();
    fixture.store.save(&["web:1", "gz:1"], None, &mut after).unwrap();
    assert!(before == after);
    assert_eq!(flaws(&fixture, false), []);
    let copy = Fixture::new();
    copy.store.load(&after[..], None, &|_| {}).unwrap();
    assert_eq!(copy.tags(), ["gz:1", "web:1"]);

    flip(fixture.store.layers().path(&layers[0]).join("a"));
    let error = fixture.store.save(&["web:1"], None, std::io::sink()).unwrap_err();
    assert!(error.chain().contains("does not give blob"), "{error:?}");
    assert_eq!(flaws(&fixture, true), [(Flaw::DamagedLayer, false)]);
    fixture.store.load(&archive()[..], None, &|_| {}).unwrap();
    assert_eq!(flaws(&fixture, true), [(Flaw::DamagedLayer, true)]);
    assert_eq!(flaws(&fixture, false), []);
}
