//! Images for several platforms under one name: one picked, all listed, one removed; and blobs that were given up
//! because a registry has them.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

mod support;

use serde_json::json;
use support::{Fixture, Layout, gzip, layer, reference};
use wharf_image::{Flaw, GivingUp, Look, Member, MemberKind, Present, RemoveOptions, Removed};
use wharf_storage::BlobInfo;
use wharf_types::{Digest, Kind, Platform, Reference};

fn s390x() -> Platform {
    Platform { architecture: "s390x".into(), ..Platform::host() }
}

fn missing() -> Platform {
    Platform { architecture: "riscv64".into(), ..Platform::host() }
}

/// The host's image and another one's with a layer in common, and attestations about the host's.
fn multi() -> Fixture {
    let fixture = Fixture::new();
    let mut layout = Layout::default();
    let base = layer(&[("base", b"1")]);
    let host = layout.image(&[base.clone(), layer(&[("host", b"22")])], &Platform::host(), gzip);
    let other = layout.image(&[base, layer(&[("other", b"333")])], &s390x(), gzip);
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let mut attested = layout.artifact(&empty, &host);
    attested["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attested["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": host["digest"],
    });
    let index = layout.index(&[host, other, attested]);
    layout.line(index, json!({"io.containerd.image.name": "docker.io/library/multi:1"}));
    fixture.store.load(&layout.tar()[..], None, &|_| {}).unwrap();
    fixture
}

fn kinds(fixture: &Fixture) -> Vec<(String, bool)> {
    let image = fixture.store.resolve("multi:1").unwrap();
    let kind = |member: Member| match member.kind {
        MemberKind::Image { platform, .. } => (platform.architecture, member.available),
        MemberKind::Attestation(about) => (format!("about {}", about.is_some()), member.available),
        MemberKind::Unknown => ("unknown".into(), member.available),
    };
    fixture.store.members(&image).unwrap().into_iter().map(kind).collect()
}

#[test]
fn one_platform_is_inspected_and_all_are_listed() {
    let fixture = multi();
    let (host, other) = (Platform::host(), fixture.store.resolve_for("multi:1", &s390x()).unwrap());
    assert_eq!(other.platform(), s390x());
    assert_eq!(other.repo_tags(), ["multi:1"]);
    assert_eq!(fixture.store.resolve_for("multi:1", &host).unwrap().id, fixture.store.resolve("multi:1").unwrap().id);
    assert_ne!(other.id, fixture.store.resolve("multi:1").unwrap().id);
    let history = fixture.store.history("multi:1", Some(&s390x())).unwrap();
    assert_eq!(history.len(), 2);
    for failed in [
        fixture.store.resolve_for("multi:1", &missing()).map(drop),
        fixture.store.history("multi:1", Some(&missing())).map(drop),
        fixture.store.save(&["multi:1"], Some(&missing()), std::io::sink()),
    ] {
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("does not provide the specified platform (linux/riscv64)"), "{error}");
    }
    let expected = [(host.architecture, true), ("s390x".to_owned(), true), ("about true".to_owned(), true)];
    assert_eq!(kinds(&fixture), expected);
    let image = fixture.store.resolve("multi:1").unwrap();
    let members = fixture.store.members(&image).unwrap();
    let MemberKind::Image { unpacked, .. } = members[0].kind else { panic!("{:?}", members[0]) };
    assert_eq!(unpacked, 3);
    assert!(members[0].content > 300, "{}", members[0].content);
}

#[test]
fn one_platform_is_removed_and_the_other_stays() {
    let fixture = multi();
    let (host, before) = (Platform::host(), fixture.contents());
    let remove = |platform: &Platform| {
        fixture
            .store
            .remove_platforms("multi:1", std::slice::from_ref(platform), RemoveOptions::default(), &|_| Vec::new())
    };
    assert_eq!(remove(&missing()).unwrap_err().kind(), Kind::NotFound);
    let other = fixture.store.resolve_for("multi:1", &s390x()).unwrap();
    assert_eq!(remove(&s390x()).unwrap(), [Removed::Deleted(other.manifest.digest)]);
    // Manifest, configuration and the layer that only it had.
    assert_eq!(fixture.contents().0, before.0 - 3);
    assert_eq!(kinds(&fixture)[1], ("s390x".to_owned(), false));
    assert_eq!(remove(&s390x()).unwrap_err().kind(), Kind::NotFound);
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.resolve("multi:1").unwrap().platform(), host);
    let mut found = 0;
    fixture
        .store
        .check(false, &|_| false, &mut |look| {
            found += u32::from(matches!(look, Look::Found(_)));
            true
        })
        .unwrap();
    assert_eq!(found, 0);
    // With the last one the image goes.
    let gone = fixture.store.remove_platforms("multi:1", &[host], RemoveOptions::default(), &|_| Vec::new()).unwrap();
    assert!(gone.contains(&Removed::Untagged(reference("multi:1"))), "{gone:?}");
    assert_eq!(fixture.contents(), (0, 0));
}

#[test]
fn a_platform_that_a_container_uses_stays() {
    let fixture = multi();
    let id = fixture.store.resolve("multi:1").unwrap().id;
    let user = wharf_image::InUse { container: wharf_types::Id::from_random([1; 32]), running: true };
    let usage = |image: &Digest| if *image == id { vec![user] } else { Vec::new() };
    let force = RemoveOptions { force: true, ..RemoveOptions::default() };
    let error = fixture.store.remove_platforms("multi:1", &[Platform::host()], force, &usage).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("is being used by running container"), "{error}");
    assert!(kinds(&fixture)[0].1);
}

/// A registry that has everything, or nothing.
struct Registry(bool);

impl GivingUp for Registry {
    fn goes_on(&mut self, _: &Digest) -> bool {
        true
    }

    fn offered(&mut self, _: BlobInfo, repositories: &[Reference]) -> Vec<Reference> {
        if self.0 { repositories.to_vec() } else { Vec::new() }
    }
}

#[test]
fn blobs_are_given_up_only_where_a_registry_offers_them() {
    let fixture = Fixture::new();
    let archive = support::docker_archive("app:1", &[layer(&[("a", b"1")])]);
    // Of gzip, so that nobody can make it anew.
    let mut layout = Layout::default();
    let manifest = layout.image(&[layer(&[("z", b"zz")])], &Platform::host(), gzip);
    layout.line(manifest, json!({"io.containerd.image.name": "docker.io/library/packed:1"}));
    fixture.store.load(&archive[..], None, &|_| {}).unwrap();
    fixture.store.load(&layout.tar()[..], None, &|_| {}).unwrap();
    let image = fixture.store.resolve("packed:1").unwrap();
    let plain = fixture.store.give_up_blobs(&mut Registry(true)).unwrap();
    assert_eq!((plain.blobs, plain.kept), (1, 1), "a name that was never in a registry is no place");

    let name = reference("registry.test:5000/team/packed").with_digest(image.manifest.digest);
    fixture.store.name_pulled(&image, &[name]).unwrap();
    let none = fixture.store.give_up_blobs(&mut Registry(false)).unwrap();
    assert_eq!((none.blobs, none.kept), (0, 1));
    let given = fixture.store.give_up_blobs(&mut Registry(true)).unwrap();
    assert_eq!((given.blobs, given.kept), (1, 0));

    let fixture = fixture.reopen();
    let (kept, absent) = fixture.store.absent_in(&["packed:1"], None).unwrap();
    let repositories: Vec<String> = absent[0].repositories.iter().map(ToString::to_string).collect();
    assert_eq!(repositories, ["registry.test:5000/team/packed"]);
    let blob = absent[0].part.blob.digest;
    assert!(fixture.store.has_blob(&blob) && !fixture.store.content().has(&blob));
    assert_eq!(fixture.store.open_blob(&blob).err().unwrap().kind(), Kind::Unavailable);
    assert_eq!(fixture.store.save(&["packed:1"], None, std::io::sink()).unwrap_err().kind(), Kind::Unavailable);
    // The layer is compared without its blob, and nothing is found missing.
    let checked = fixture.store.check(false, &|_| false, &mut |_| true).unwrap();
    assert_eq!((checked.found, checked.layers, checked.uncompared), (0, 2, 0));
    // Where the layer is damaged, the blob counts as missing: a pull fetches it, and it mends the layer.
    drop(kept);
    let layer_file = image.layers[0].join("z");
    std::fs::write(&layer_file, b"??").unwrap();
    let flaws = |fixture: &Fixture| {
        let mut flaws = Vec::new();
        let tell = &mut |look| {
            flaws.extend(if let Look::Found(found) = look {
                Some((found.flaw, found.repaired.is_some()))
            } else {
                None
            });
            true
        };
        fixture.store.check(true, &|_| false, tell).unwrap();
        flaws
    };
    assert_eq!(flaws(&fixture), [(Flaw::DamagedLayer, false), (Flaw::IncompleteImage, false)]);
    let mut lease = fixture.store.begin();
    let present = fixture.store.keep_part(&mut lease, &absent[0].part);
    assert_eq!(present, Present { blob: false, layer: true });
    // What comes back is the blob again.
    let staged = fixture.store.content().stage(&gzip(&layer(&[("z", b"zz")]))).unwrap();
    assert_eq!(staged.info().digest, blob);
    fixture.store.commit_again(vec![staged], Vec::new()).unwrap();
    fixture.store.save(&["packed:1"], None, std::io::sink()).unwrap();
    assert_eq!(flaws(&fixture), [(Flaw::DamagedLayer, true)]);
    assert_eq!(std::fs::read(&layer_file).unwrap(), b"zz");
    assert_eq!(flaws(&fixture), []);
}
