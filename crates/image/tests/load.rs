//! Loading and saving archives of every kind, and refusing broken ones without a trace.

#![allow(clippy::unwrap_used)] // a test says what is wrong by where it fails

mod support;

use serde_json::json;
use support::{Fixture, Layout, docker_archive, gzip, layer, reference, tar_of, zstd};
use wharf_image::{Loaded, Progress};
use wharf_types::{Digest, Kind, Platform, Result};

fn load(fixture: &Fixture, bytes: &[u8]) -> Result<Vec<Loaded>> {
    fixture.store.load(bytes, None, &|_| {})
}

fn two_layers() -> Vec<Vec<u8>> {
    vec![layer(&[("etc/base", b"base")]), layer(&[("top", b"top"), ("etc/.wh.base", b"")])]
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn other_platform() -> Platform {
    Platform { architecture: "s390x".into(), ..Platform::host() }
}

#[test]
fn an_old_docker_archive_is_loaded() {
    let fixture = Fixture::new();
    let loaded = load(&fixture, &gzip(&docker_archive("web:1", &two_layers()))).unwrap();
    assert_eq!(loaded[0].to_string(), "Loaded image: web:1");
    let image = fixture.store.resolve("web:1").unwrap();
    assert_eq!((image.repo_tags(), image.size), (vec!["web:1".to_owned()], 7));
    assert_eq!(std::fs::read(image.layers[0].join("top")).unwrap(), b"top");
    assert_eq!(std::fs::read(image.layers[1].join("etc/base")).unwrap(), b"base");
    assert_eq!(image.config().cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!(image.created(), "2024-05-06T07:08:09.123Z");
    assert_eq!(image.id, Digest::of(&fixture.store.config_bytes(&image.id).unwrap()));
    assert_eq!((fixture.contents(), fixture.leftovers()), ((4, 2), 0));

    let mut present = 0;
    let count = std::sync::atomic::AtomicU32::new(0);
    let again = fixture.store.load(&docker_archive("web:2", &two_layers())[..], None, &|progress| {
        if matches!(progress, Progress::Present(_)) {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    present += count.into_inner();
    assert_eq!((again.unwrap().len(), present), (1, 2));
    assert_eq!(fixture.reopen().tags(), ["web:1", "web:2"]);
}

#[test]
fn an_archive_with_links_between_layers_is_loaded() {
    let layers = two_layers();
    let archive = docker_archive("linked", &[layers[0].clone(), layers[0].clone()]);
    // As Docker wrote it when two images shared a layer: the second is a link to the first.
    let mut builder = tar::Builder::new(Vec::new());
    let mut seen = None;
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut header = entry.header().clone();
        match (&seen, path.ends_with("layer.tar")) {
            (Some(first), true) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &path, std::path::Path::new("..").join(first)).unwrap();
            }
            (known, is_layer) => {
                if known.is_none() && is_layer {
                    seen = Some(path.clone());
                }
                builder.append_data(&mut header, &path, &mut entry).unwrap();
            }
        }
    }
    let fixture = Fixture::new();
    load(&fixture, &builder.into_inner().unwrap()).unwrap();
    let image = fixture.store.resolve("linked").unwrap();
    // Overlay takes no folder twice.
    assert_eq!((image.diff_ids().len(), image.layers.len()), (2, 1));
}

#[test]
fn an_oci_layout_is_loaded_with_every_compression() {
    for compress in [plain, gzip, zstd] {
        let mut layout = Layout::default();
        let image = layout.image(&two_layers(), &Platform::host(), compress);
        layout.line(
            image.clone(),
            json!({"io.containerd.image.name": "docker.io/library/web:1", "org.opencontainers.image.ref.name": "1"}),
        );
        layout.line(image, json!({"org.opencontainers.image.ref.name": "ghcr.io/o/web:2"}));
        let fixture = Fixture::new();
        let loaded = load(&fixture, &layout.tar()).unwrap();
        assert_eq!(loaded.len(), 2);
        assert_eq!(fixture.tags(), ["ghcr.io/o/web:2", "web:1"]);
        assert_eq!(fixture.store.list().len(), 1);
        assert_eq!(fixture.contents(), (4, 2));
    }
}

#[test]
fn of_several_platforms_the_hosts_is_loaded() {
    let mut layout = Layout::default();
    let other = layout.image(&[layer(&[("other", b"")])], &other_platform(), gzip);
    let host = layout.image(&two_layers(), &Platform::host(), gzip);
    let mut attestation = layout.image(&[layer(&[("note", b"")])], &Platform::host(), gzip);
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let inner = layout.index(&[attestation, other, host.clone()]);
    let outer = layout.index(&[inner]);
    layout.line(outer, json!({}));
    let fixture = Fixture::new();
    let loaded = load(&fixture, &layout.tar()).unwrap();
    let image = &fixture.store.list()[0];
    assert_eq!(loaded[0].to_string(), format!("Loaded image ID: {}", image.id));
    assert_eq!(image.manifest.digest.to_string(), host["digest"].as_str().unwrap());
    assert_eq!(image.layers.len(), 2);

    let mut layout = Layout::default();
    let other = layout.image(&two_layers(), &other_platform(), gzip);
    layout.line(other, json!({"org.opencontainers.image.ref.name": "foreign:1"}));
    load(&fixture, &layout.tar()).unwrap();
    assert_eq!(fixture.store.resolve("foreign:1").unwrap().platform(), other_platform());
}

#[test]
fn what_is_saved_is_loaded_the_same() {
    let source = Fixture::new();
    load(&source, &docker_archive("web:1", &two_layers())).unwrap();
    let plain_id = source.import("imported", Some("imported:x"));
    source.store.tag("web:1", &reference("ghcr.io/o/web:2")).unwrap();
    let mut saved = Vec::new();
    let id = source.store.resolve("web:1").unwrap().id.to_string();
    source.store.save(&["web:1", "ghcr.io/o/web:2", "imported:x", &id], None, &mut saved).unwrap();
    let mut again = Vec::new();
    source.store.save(&["imported:x", "ghcr.io/o/web:2", "web:1"], None, &mut again).unwrap();
    assert!(saved == again);
    for keeps in [&["manifest.json", "index.json"][..], &["manifest.json"], &["index.json"]] {
        let target = Fixture::new();
        load(&target, &without(&saved, keeps)).unwrap();
        assert_eq!(target.tags(), source.tags());
        for image in source.store.list() {
            let twin = target.store.get(&image.id).unwrap();
            assert_eq!(twin.document, image.document);
            assert_eq!(target.store.config_bytes(&image.id).unwrap(), source.store.config_bytes(&image.id).unwrap());
            assert_eq!(twin.manifest.digest, image.manifest.digest);
        }
        assert!(target.store.get(&plain_id).is_some());
    }
    assert_eq!(source.store.save(&["no"], None, std::io::sink()).unwrap_err().to_string(), "No such image: no:latest");
}

/// The archive with only these of the two documents that name the images.
fn without(archive: &[u8], keeps: &[&str]) -> Vec<u8> {
    let files = members(archive);
    let keep =
        |name: &String| !matches!(name.as_str(), "manifest.json" | "index.json") || keeps.contains(&name.as_str());
    tar_of(&files.into_iter().filter(|(name, _)| keep(name)).collect::<Vec<_>>())
}

fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if entry.header().entry_type().is_file() {
            files.push((entry.path().unwrap().display().to_string(), bytes));
        }
    }
    files
}

#[test]
fn each_missing_or_damaged_member_is_named_and_nothing_is_left() {
    let mut layout = Layout::default();
    let image = layout.image(&two_layers(), &Platform::host(), gzip);
    layout.line(image, json!({"org.opencontainers.image.ref.name": "web:1"}));
    let fixture = Fixture::new();
    let mut checked = 0;
    for archive in [layout.tar(), docker_archive("web:1", &two_layers())] {
        let files = members(&archive);
        for i in 0..files.len() {
            let name = files[i].0.clone();
            if name.ends_with("VERSION") || name == "repositories" || name == "oci-layout" {
                continue;
            }
            let mut missing = files.clone();
            missing.remove(i);
            let error = load(&fixture, &tar_of(&missing)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidParameter, "{error:?}");
            assert!(error.chain().contains(&name), "{name} is not in: {error:?}");
            let mut damaged = files.clone();
            let middle = damaged[i].1.len() / 2;
            damaged[i].1[middle] ^= 0x55;
            let error = load(&fixture, &tar_of(&damaged)).unwrap_err();
            assert!(matches!(error.kind(), Kind::InvalidParameter | Kind::Corrupt), "{name}: {error:?}");
            assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0), "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 5 + 4);
    assert!(fixture.store.list().is_empty());
}

#[test]
fn a_cut_at_any_place_leaves_nothing() {
    let fixture = Fixture::quick();
    let archive = docker_archive("web:1", &[layer(&[("a", b"a")])]);
    for cut in (0..archive.len() - 512).step_by(61) {
        let error = load(&fixture, &archive[..cut]).unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidParameter | Kind::Corrupt), "{cut}: {error:?}");
        assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0), "{cut}");
    }
    let compressed = gzip(&archive);
    for cut in 0..compressed.len() {
        load(&fixture, &compressed[..cut]).unwrap_err();
        assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0), "{cut}");
    }
}

#[test]
fn what_holds_no_images_says_so() {
    let fixture = Fixture::new();
    for (bytes, expected) in [
        (layer(&[("etc/passwd", b"")]), "the archive holds no images: it has neither manifest.json nor index.json"),
        (b"just some text, long enough for a header?".repeat(30), "the stream is not a tar archive"),
        (Vec::new(), "the archive is empty"),
        (tar_of(&[("manifest.json".into(), b"[]".to_vec())]), "manifest.json of the archive names no image"),
        (tar_of(&[("manifest.json".into(), b"{".to_vec())]), "member manifest.json of the archive cannot be read"),
    ] {
        let error = load(&fixture, &bytes).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (expected, Kind::InvalidParameter));
    }
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let layers = two_layers();
    let archive = docker_archive("web:1", &layers);
    let mut files = members(&archive);
    let file = files.iter_mut().find(|(name, _)| name.ends_with("layer.tar")).unwrap();
    file.1 = layer(&[("evil", b"")]);
    let fixture = Fixture::new();
    let error = load(&fixture, &tar_of(&files)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.chain().contains("diff id"), "{error:?}");
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}

#[test]
fn an_index_is_kept_with_all_platforms_and_what_is_about_it() {
    let mut layout = Layout::default();
    let other = layout.image(&[layer(&[("other", b"")])], &other_platform(), gzip);
    let host = layout.image(&two_layers(), &Platform::host(), gzip);
    let mut attestation = layout.image(&[layer(&[("note", b"")])], &Platform::host(), gzip);
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = layout.index(&[host.clone(), other, attestation]);
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let signature = layout.artifact(&empty, &index);
    layout.line(index.clone(), json!({"io.containerd.image.name": "docker.io/library/multi:1"}));
    layout.line(signature, json!({}));
    let archive = layout.tar();

    let fixture = Fixture::new();
    load(&fixture, &archive).unwrap();
    let image = fixture.store.resolve("multi:1").unwrap();
    assert_eq!(image.target.digest.to_string(), index["digest"].as_str().unwrap());
    assert_eq!(image.manifest.digest.to_string(), host["digest"].as_str().unwrap());
    let by_digest = format!("multi@{}", index["digest"].as_str().unwrap());
    assert_eq!(fixture.store.resolve(&by_digest).unwrap().id, image.id);
    let blobs = fixture.contents().0;
    fixture.store.collect().unwrap();
    assert_eq!(fixture.contents(), (blobs, 2));

    let mut all = Vec::new();
    fixture.store.save(&["multi:1"], None, &mut all).unwrap();
    let twin = Fixture::new();
    load(&twin, &all).unwrap();
    assert_eq!(twin.store.resolve("multi:1").unwrap().target, image.target);
    assert_eq!(twin.contents(), (blobs, 2));

    let mut one = Vec::new();
    twin.store.save(&["multi:1"], Some(&other_platform()), &mut one).unwrap();
    let foreign = Fixture::new();
    load(&foreign, &one).unwrap();
    let alone = foreign.store.resolve("multi:1").unwrap();
    assert_eq!((alone.platform(), &alone.target), (other_platform(), &alone.manifest));

    let chosen = Fixture::new();
    let asked = Some(other_platform());
    chosen.store.load(&archive[..], asked.as_ref(), &|_| {}).unwrap();
    let chosen = chosen.reopen();
    let foreign = chosen.store.resolve("multi:1").unwrap();
    assert_eq!((foreign.platform(), &foreign.target), (other_platform(), &image.target));
    let none = "linux/mips".parse().unwrap();
    assert_eq!(chosen.store.load(&archive[..], Some(&none), &|_| {}).unwrap_err().kind(), Kind::NotFound);

    fixture.store.remove("multi:1", wharf_image::RemoveOptions::default(), &|_| Vec::new()).unwrap();
    assert_eq!((fixture.contents(), fixture.leftovers()), ((0, 0), 0));
}
