//! Names and ids, import, commit, history, removal with Docker's rules, and collection.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

mod support;

use support::{Fixture, docker_archive, gzip, layer, reference, zstd};
use wharf_image::{CommitOptions, ImageConfig, ImportOptions, InUse, RemoveOptions, Removed};
use wharf_types::{Digest, Id, Kind, Result};

const FORCE: RemoveOptions = RemoveOptions { force: true, keep_parents: false };

fn unused(_: &Digest) -> Vec<InUse> {
    Vec::new()
}

fn used(running: bool) -> impl Fn(&Digest) -> Vec<InUse> {
    move |_| vec![InUse { container: Id::from_random([0xab; 32]), running }]
}

fn remove(fixture: &Fixture, name: &str) -> Result<Vec<String>> {
    let removed = fixture.store.remove(name, RemoveOptions::default(), &unused)?;
    Ok(removed.into_iter().map(describe).collect())
}

fn describe(removed: Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {}", name.familiar()),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

#[test]
fn an_import_is_an_image_with_one_layer_and_keeps_its_bytes() {
    let tar = layer(&[("bin/sh", b"#!")]);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    std::io::Write::write_all(&mut bzip2, &tar).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    let options = ImportOptions {
        reference: Some(reference("debian:bookworm")),
        changes: vec!["CMD [\"bash\"]".into(), "ENV A=b".into()],
        message: "Imported from -".into(),
        platform: None,
    };
    for (bytes, kept, suffix) in [
        (tar.clone(), &tar, ".tar"),
        (gzip(&tar), &gzip(&tar), "+gzip"),
        (zstd(&tar), &zstd(&tar), "+zstd"),
        (bzip2, &tar, ".tar"),
    ] {
        let fixture = Fixture::new();
        let id = fixture.store.import(&bytes[..], &options).unwrap();
        let image = fixture.store.resolve("debian:bookworm").unwrap();
        assert_eq!((image.id, image.diff_ids()), (id, &[Digest::of(&tar)][..]));
        assert_eq!(image.config().env, ["A=b"]);
        assert_eq!(image.document.history[0].comment, "Imported from -");
        assert_eq!(std::fs::read(image.layers[0].join("bin/sh")).unwrap(), b"#!");
        let manifest = fixture.store.content().read(&image.manifest.digest, 1 << 20).unwrap();
        let manifest: wharf_image::Manifest = serde_json::from_slice(&manifest).unwrap();
        assert!(manifest.layers[0].media_type.ends_with(suffix));
        assert_eq!(&fixture.store.content().read(&manifest.layers[0].digest, 1 << 20).unwrap(), kept);
    }
}

#[test]
fn a_broken_import_leaves_nothing() {
    let fixture = Fixture::quick();
    let tar = layer(&[("a", &[1; 2000]), ("b", b"")]);
    let gzip = gzip(&tar);
    for (bytes, end) in [(&tar, tar.len() - 512), (&gzip, gzip.len())] {
        for cut in (0..end).step_by(7) {
            fixture.store.import(&bytes[..cut], &ImportOptions::default()).unwrap_err();
        }
    }
    let bad = ImportOptions { changes: vec!["RUN x".into()], ..ImportOptions::default() };
    assert_eq!(fixture.store.import(&tar[..], &bad).unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}

#[test]
fn images_are_found_by_name_digest_id_and_prefix() {
    let fixture = Fixture::new();
    let id = fixture.import("a", Some("web:1"));
    let other = fixture.import("b", Some("ghcr.io/o/web"));
    let digest = fixture.store.get(&id).unwrap().manifest.digest;
    let find = |name: &str| fixture.store.resolve(name).map(|image| image.id);
    for name in [
        "web:1".to_owned(),
        "docker.io/library/web:1".to_owned(),
        id.to_string(),
        id.hex(),
        id.short(),
        format!("sha256:{}", &id.hex()[..5]),
        format!("web@{digest}"),
        format!("web:other@{digest}"),
    ] {
        assert_eq!(find(&name).unwrap(), id, "{name}");
    }
    assert_eq!(find("ghcr.io/o/web").unwrap(), other);
    for (name, text) in [
        ("web", "No such image: web:latest"),
        ("web:2", "No such image: web:2"),
        (&format!("ghcr.io/o/web@{digest}"), &format!("No such image: ghcr.io/o/web@{digest}")),
        (&"0".repeat(64), &format!("No such image: sha256:{}", "0".repeat(64))),
        ("0123456789ab", "No such image: 0123456789ab:latest"),
    ] {
        let error = find(name).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, text));
    }
    assert_eq!(find("Web").unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!(find("").unwrap_err().kind(), Kind::InvalidParameter);
    // Among enough images, two ids share their first digit.
    let ids: Vec<Digest> = (0..16).map(|i| fixture.import(&format!("f{i}"), None)).chain([id, other]).collect();
    let first = |id: &Digest| id.hex()[..1].to_owned();
    let shared = ids.iter().map(first).find(|d| ids.iter().filter(|id| first(id) == *d).count() > 1).unwrap();
    let error = find(&shared).unwrap_err();
    assert_eq!(error.to_string(), format!("multiple IDs found with provided prefix: {shared}"));
}

#[test]
fn tags_move_and_last_beyond_a_restart() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.import("1", Some("web:1")), fixture.import("2", Some("web:2")));
    fixture.store.tag("web:1", &reference("web")).unwrap();
    fixture.store.tag(&two.short(), &reference("web:1")).unwrap();
    let fixture = fixture.reopen();
    let image = fixture.store.get(&two).unwrap();
    assert_eq!(image.repo_tags(), ["web:1", "web:2"]);
    assert_eq!(fixture.store.resolve("web").unwrap().id, one);
    fixture.store.untag(&reference("web:latest")).unwrap();
    let fixture = fixture.reopen();
    assert!(fixture.store.get(&one).unwrap().repo_tags().is_empty());
    assert_eq!(fixture.store.untag(&reference("web")).unwrap_err().kind(), Kind::NotFound);
    let pinned = reference(&format!("web@{}", image.manifest.digest));
    assert_eq!(fixture.store.tag("web:1", &pinned).unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!(fixture.store.list().len(), 2);
}

#[test]
fn removing_takes_names_then_the_image_then_what_nobody_shares() {
    let fixture = Fixture::new();
    let base = layer(&[("base", b"")]);
    let chain = |layers: &[&[u8]]| {
        let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        ids[1..].iter().fold(ids[0], |below, id| Digest::of(format!("{below} {id}").as_bytes()))
    };
    let top = layer(&[("one", b"")]);
    let load =
        |name: &str, layers: &[Vec<u8>]| fixture.store.load(&docker_archive(name, layers)[..], None, &|_| {}).unwrap();
    load("one:1", &[base.clone(), top.clone()]);
    load("two:1", &[base.clone(), layer(&[("two", b"")])]);
    let id = fixture.store.resolve("one:1").unwrap().id;
    fixture.store.tag("one:1", &reference("also:1")).unwrap();
    assert_eq!(remove(&fixture, "also:1").unwrap(), ["Untagged: also:1"]);
    fixture.store.tag("one:1", &reference("also:1")).unwrap();
    let error = remove(&fixture, &id.short()).unwrap_err();
    let text = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        id.short()
    );
    assert_eq!((error.kind(), error.to_string()), (Kind::Conflict, text));
    assert_eq!(fixture.contents(), (7, 3));
    let removed = fixture.store.remove(&id.short(), FORCE, &unused).unwrap();
    assert_eq!(
        removed.into_iter().map(describe).collect::<Vec<_>>(),
        [
            "Untagged: also:1".into(),
            "Untagged: one:1".into(),
            format!("Deleted: {id}"),
            format!("Deleted: {}", chain(&[&base, &top]))
        ]
    );
    assert_eq!(fixture.contents(), (4, 2));
    assert_eq!(remove(&fixture, "two:1").unwrap().len(), 4);
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
    assert_eq!(remove(&fixture, "two:1").unwrap_err().to_string(), "No such image: two:1");
}

#[test]
fn images_in_use_are_kept_in_dockers_words() {
    let fixture = Fixture::new();
    let id = fixture.import("a", Some("web:1"));
    let short = id.short();
    let lease = fixture.store.lease(&fixture.store.get(&id).unwrap());
    let remove = |name: &str, options, running| fixture.store.remove(name, options, &used(running));
    let none = RemoveOptions::default();
    for (name, options, running, text) in [
        (
            "web:1",
            none,
            false,
            format!(
                "conflict: unable to remove repository reference \"web:1\" (must force) - container abababababab is using \
                 its referenced image {short}"
            ),
        ),
        (
            &short,
            none,
            false,
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container \
                 abababababab"
            ),
        ),
        (
            &short,
            FORCE,
            true,
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container \
                 abababababab"
            ),
        ),
    ] {
        let error = remove(name, options, running).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (Kind::Conflict, text));
    }
    fixture.store.tag("web:1", &reference("web:2")).unwrap();
    // One of two names may go, whoever uses the image.
    assert_eq!(remove("web:2", none, true).unwrap(), [Removed::Untagged(reference("web:2"))]);
    // By force the last name goes; the image of a running container stays, nameless.
    assert_eq!(remove("web:1", FORCE, true).unwrap(), [Removed::Untagged(reference("web:1"))]);
    assert!(fixture.store.get(&id).is_some());
    // The image of a stopped one goes, but not its layer, which the container holds.
    assert_eq!(remove(&short, FORCE, false).unwrap(), [Removed::Deleted(id)]);
    assert_eq!(fixture.contents(), (1, 1), "the layer, and the blob that has the same digest");
    drop(lease);
    let collected = fixture.store.collect().unwrap();
    assert_eq!((collected.blobs, collected.layers), (1, 1));
    assert_eq!(fixture.contents(), (0, 0));
}

fn commit(fixture: &Fixture, parent: Digest, file: Option<&str>, name: Option<&str>) -> Digest {
    let files: Vec<(&str, &[u8])> = file.iter().map(|name| (*name, &b"new"[..])).collect();
    let options = CommitOptions {
        reference: name.map(reference),
        parent: Some(parent),
        config: ImageConfig { user: "me".into(), ..ImageConfig::default() },
        changes: vec!["CMD [\"x\"]".into()],
        author: "somebody".into(),
        message: "a note".into(),
        created_by: "sh -c make".into(),
    };
    fixture.store.commit(&layer(&files)[..], &options).unwrap()
}

#[test]
fn a_commit_adds_a_layer_and_a_step() {
    let fixture = Fixture::new();
    let base = fixture.import("base", Some("base"));
    let child = commit(&fixture, base, Some("made"), Some("child"));
    let image = fixture.store.get(&child).unwrap();
    assert_eq!((image.layers.len(), image.size, image.parent), (2, 7, Some(base)));
    assert_eq!((image.config().user.as_str(), image.document.author.as_str()), ("me", "somebody"));
    let empty = commit(&fixture, child, None, None);
    let fixture = fixture.reopen();
    let image = fixture.store.get(&empty).unwrap();
    assert_eq!((image.layers.len(), image.parent), (2, Some(child)));
    let history = fixture.store.history(&empty.to_string(), None).unwrap();
    let lines: Vec<_> = history.iter().map(|h| (h.id, h.created_by.as_str(), h.size, h.tags.len())).collect();
    assert_eq!(lines, [(Some(empty), "sh -c make", 0, 0), (Some(child), "sh -c make", 3, 1), (Some(base), "", 4, 1)]);
    assert_eq!(history[2].comment, "Imported from -");
}

#[test]
fn parents_stay_while_children_need_them_and_go_with_the_last() {
    let fixture = Fixture::new();
    let base = fixture.import("base", Some("base"));
    let middle = commit(&fixture, base, Some("m"), None);
    let child = commit(&fixture, middle, Some("c"), Some("child"));
    let error = fixture.store.remove(&middle.to_string(), FORCE, &unused).unwrap_err();
    assert!(error.to_string().ends_with("(cannot be forced) - image has dependent child images"), "{error}");
    // Its name may go, but the image is still there for its children.
    assert_eq!(remove(&fixture, "base").unwrap(), ["Untagged: base:latest"]);
    let removed = remove(&fixture, "child").unwrap();
    let deleted = |id: Digest| removed.contains(&format!("Deleted: {id}"));
    assert!(deleted(child) && deleted(middle) && deleted(base), "{removed:?}");
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}

#[test]
fn pruning_spares_names_users_and_parents() {
    let fixture = Fixture::new();
    let named = fixture.import("named", Some("named"));
    let dangling = fixture.import("dangling", None);
    let busy = fixture.import("busy", None);
    let usage = |id: &Digest| if *id == busy { used(false)(id) } else { Vec::new() };
    let is_dangling = |image: &wharf_image::Image| image.tags.is_empty();
    let pruned = fixture.store.prune(&is_dangling, &usage, &mut |_| true).unwrap();
    assert_eq!(pruned.removed[0], Removed::Deleted(dangling));
    assert!(pruned.reclaimed > 0);
    let left: Vec<Digest> = fixture.store.list().iter().map(|image| image.id).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&named) && left.contains(&busy));
    fixture.store.prune(&|_| true, &unused, &mut |_| true).unwrap();
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}

#[test]
fn one_broken_image_hides_no_other_and_is_healed_or_forgotten() {
    let archive = docker_archive("bad", &[layer(&[("bad", b"")])]);
    let fixture = Fixture::new();
    let good = fixture.import("good", Some("good"));
    fixture.store.load(&archive[..], None, &|_| {}).unwrap();
    let bad = fixture.store.resolve("bad").unwrap().id;
    let damage = |fixture: &Fixture| {
        let path = fixture.folder.path().join("content/blobs/sha256").join(bad.hex());
        let len = std::fs::metadata(&path).unwrap().len();
        std::fs::write(path, vec![b'x'; len as usize]).unwrap();
    };
    damage(&fixture);
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.resolve("good").unwrap().id, good);
    assert_eq!(fixture.store.resolve("bad").unwrap_err().kind(), Kind::NotFound);
    let broken = fixture.store.broken();
    assert_eq!(broken[0].names, [reference("bad:latest")]);
    assert!(broken[0].reason.contains("damaged"), "{broken:?}");
    fixture.store.collect().unwrap();
    assert_eq!(fixture.store.layers().list().unwrap().len(), 2);
    fixture.store.load(&archive[..], None, &|_| {}).unwrap();
    assert_eq!(fixture.store.resolve("bad").unwrap().id, bad);
    assert!(fixture.store.broken().is_empty());

    damage(&fixture);
    let fixture = fixture.reopen();
    assert_eq!(remove(&fixture, "bad").unwrap(), ["Untagged: bad:latest"]);
    assert!(fixture.store.broken().is_empty());
    fixture.store.collect().unwrap();
    assert_eq!(fixture.contents(), (3, 1));
}

#[test]
fn many_threads_load_tag_remove_and_collect_at_once() {
    let fixture = Fixture::quick();
    let base = layer(&[("base", b"shared")]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (fixture, base) = (&fixture, &base);
            scope.spawn(move || {
                for round in 0..10 {
                    let name = format!("t{thread}:{round}");
                    let own = layer(&[(name.as_str(), b"x")]);
                    fixture.store.load(&docker_archive(&name, &[base.clone(), own])[..], None, &|_| {}).unwrap();
                    let (image, lease) = fixture.store.resolve_leased(&name).unwrap();
                    fixture.store.tag(&name, &reference(&format!("also{thread}:{round}"))).unwrap();
                    fixture.store.collect().unwrap();
                    fixture.store.remove(&image.id.to_string(), FORCE, &unused).unwrap();
                    assert!(image.layers.iter().all(|layer| layer.exists()), "a leased layer is gone");
                    drop(lease);
                }
            });
        }
    });
    fixture.store.collect().unwrap();
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}
