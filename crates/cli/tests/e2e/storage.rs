//! The store of images: damage is found and repaired, space is counted truly, prune removes what was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_testkit::golden::{Archive, busybox_rootfs};
use wharf_testkit::registry::{Faults, FaultyRegistry, noise};
use wharf_testkit::{Options, Output, TempEngine};

/// The layer folder of the only image.
fn layer(engine: &TempEngine, image: &str) -> PathBuf {
    let upper = engine.cli(&["inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", image]).ok();
    PathBuf::from(upper.line())
}

#[test]
fn a_damaged_layer_is_found_and_repaired_when_no_container_runs_on_it() {
    let engine = TempEngine::start();
    let whole = engine.cli(&["system", "check"]).ok();
    assert!(whole.stdout.contains("compared 1 layers: all is well"), "{}", whole.stdout);
    let file = layer(&engine, "busybox:test").join("etc/passwd");
    fs::write(&file, "root::0:0::/:/bin/sh\n").unwrap();
    let found = engine.cli(&["system", "check"]).exits(1);
    assert!(
        found.stdout.contains("damaged layer: sha256:") && found.stdout.contains("/etc/passwd"),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("1 problems; --repair mends"), "{}", found.stdout);

    engine.cli(&["run", "-d", "--name", "busy", "busybox:test", "sleep", "1000"]).ok();
    let busy = engine.cli(&["system", "check", "--repair"]).exits(1);
    assert!(busy.stdout.contains("a running container has it"), "{}", busy.stdout);
    engine.cli(&["rm", "-f", "busy"]).ok();
    let repaired = engine.cli(&["system", "check", "--repair", "--format", "json"]).ok();
    assert!(repaired.stdout.contains(r#""Repaired":"unpacked anew""#), "{}", repaired.stdout);
    assert!(fs::read_to_string(&file).unwrap().starts_with("root:x:0:0"));
    engine.cli(&["system", "check"]).ok();
    engine.finish();
}

#[test]
fn a_store_without_a_whole_index_starts_and_names_what_is_lost() {
    let mut engine = TempEngine::start();
    let id = engine.cli(&["images", "-q", "--no-trunc"]).ok();
    engine.stop();
    fs::write(engine.root().join("content/index.json"), b"{\"schemaVersion\":2,\"mani").unwrap();
    engine.restart();
    assert_eq!(engine.cli(&["images", "-aq", "--no-trunc"]).ok().line(), id.line());
    let check = engine.cli(&["system", "check", "--repair"]).ok();
    assert!(check.stdout.contains("index: index.json") && check.stdout.contains("repaired:"), "{}", check.stdout);
    engine.cli(&["tag", id.line(), "busybox:test"]).ok();
    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
    engine.finish();
}

#[test]
fn disk_usage_is_what_du_says() {
    let engine = TempEngine::start();
    let files = (0..400).fold(Archive::new(), |archive, n| archive.file(&format!("f{n}"), 0o644, &vec![7; n * 37]));
    engine.import("many:1", &files.finish(), &[]);
    let usage = &engine.get("/system/df?verbose=1");
    let said = usage["ImageUsage"]["TotalSize"].as_f64().unwrap();
    let parts = &usage["io.wharf.StoreUsage"];
    assert_eq!(said, parts["BlobsSize"].as_f64().unwrap() + parts["LayersSize"].as_f64().unwrap());
    let measured = du(&engine.root().join("content")) + du(&engine.root().join("layers"));
    assert!((said / measured - 1.0).abs() < 0.01, "{said} bytes are said, {measured} are there");
    assert_eq!(usage["ImageUsage"]["Reclaimable"].as_f64().unwrap(), said);
    let table = engine.cli(&["system", "df"]).ok().stdout;
    assert!(table.contains("Images: layers") && table.contains("Images: blobs"), "{table}");
    assert!(engine.cli(&["system", "df", "-v"]).ok().stdout.contains("unpacked layers"));
    engine.finish();
}

/// Images, containers, volumes, what builds keep, and a download that was cut: nothing is forgotten or counted twice.
#[test]
fn disk_usage_of_every_kind_is_what_du_says() {
    let engine = TempEngine::start();
    let write = "head -c 5000000 /dev/urandom > /own; head -c 3000000 /dev/urandom > /data/kept; ln /own /again";
    engine.cli(&["run", "--name", "writer", "-v", "kept:/data", "busybox:test", "sh", "-c", write]).ok();
    let dockerfile = b"FROM busybox:test\nRUN head -c 2000000 /dev/urandom > /built\n";
    engine.cli_stdin(&["build", "-t", "built:1", "-"], dockerfile).ok();
    engine.cli(&["rmi", "built:1"]).ok();
    let partial = engine.root().join("content/partial").join("ab".repeat(32));
    fs::write(partial, noise(4_000_000, 1)).unwrap();

    let usage = &engine.get("/system/df?verbose=1");
    let said = |kind: &str| usage[kind]["TotalSize"].as_f64().unwrap();
    let root = engine.root();
    let containers: f64 = fs::read_dir(root.join("containers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().len() == 64)
        .map(|path| du(&path))
        .sum();
    let close = |said: f64, measured: f64, what: &str| {
        assert!((said / measured - 1.0).abs() < 0.01, "{what}: {said} bytes are said, {measured} are there");
    };
    close(said("ContainerUsage"), containers, "containers");
    assert!(containers < 5_500_000.0, "a hard link is counted twice: {containers}");
    close(said("VolumeUsage"), du(&root.join("volumes")), "volumes");
    let content = du(&root.join("content")) + du(&root.join("layers"));
    let builds = du(&root.join("build"));
    close(said("ImageUsage") + said("BuildCacheUsage"), content + builds, "images and builds");
    assert!((2_000_000.0..2_200_000.0).contains(&said("BuildCacheUsage")), "{}", said("BuildCacheUsage"));
    assert!(said("ImageUsage") > 4_000_000.0, "the part of a download is forgotten");
    engine.cli(&["rm", "writer"]).ok();
    engine.cli(&["volume", "rm", "kept"]).ok();
    engine.finish();
}

/// What is not there takes nothing.
fn du(folder: &Path) -> f64 {
    if !folder.exists() {
        return 0.0;
    }
    let output = Output::of(Command::new("du").args(["-s", "--block-size=1"]).arg(folder), b"").ok();
    output.line().split('\t').next().unwrap().parse().unwrap()
}

#[test]
fn prune_and_list_take_filters() {
    let engine = TempEngine::start();
    let rootfs = |name: &str| Archive::new().file(name, 0o644, name.as_bytes()).finish();
    engine.import("kept:1", &rootfs("a"), &["LABEL keep=yes", "LABEL other=1"]);
    engine.import("gone:1", &rootfs("b"), &["LABEL other=2"]);
    engine.import("gone:2", &rootfs("c"), &[]);
    engine.cli(&["rmi", "gone:2"]).ok();
    let names = |arguments: &[&str]| {
        let mut all = vec!["images", "--format", "{{.Repository}}:{{.Tag}}"];
        all.extend(arguments);
        let mut lines: Vec<String> = engine.cli(&all).ok().stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    assert_eq!(names(&["--filter", "label=other"]), "gone:1 kept:1");
    assert_eq!(names(&["--filter", "label=other=2"]), "gone:1");
    assert_eq!(names(&["--filter", "since=kept:1"]), "gone:1");
    assert_eq!(names(&["--filter", "before=gone:1"]), "busybox:test kept:1");
    assert_eq!(names(&["--filter", "reference=*:1"]), "gone:1 kept:1");
    engine.cli(&["tag", "gone:1", "second:1"]).ok();
    assert_eq!(names(&["--filter", "reference=sec*"]), "second:1");
    assert_eq!(names(&["--filter", "until=1h"]), "");
    engine.cli(&["rmi", "second:1"]).ok();
    let nothing = engine.cli(&["image", "prune", "-af", "--filter", "until=1h"]).ok();
    assert_eq!(nothing.stdout, "Total reclaimed space: 0B\n");
    let pruned = engine.cli(&["image", "prune", "-af", "--filter", "label!=keep", "--filter", "label=other"]).ok();
    assert!(pruned.stdout.starts_with("Deleted Images:\nuntagged: gone:1\ndeleted: sha256:"), "{}", pruned.stdout);
    assert_eq!(names(&[]), "busybox:test kept:1");
    engine.finish();
}

#[test]
fn blobs_that_were_given_up_are_saved_the_same() {
    let engine = TempEngine::start();
    let before = engine.cli(&["save", "busybox:test"]).ok();
    let pruned = engine.cli(&["image", "prune", "-f", "--blobs"]).ok();
    assert!(
        pruned.stdout.contains("Blobs given up, for they can be made anew or fetched again: 1; kept: 0"),
        "{}",
        pruned.stdout
    );
    assert!(!pruned.stdout.contains("reclaimed space: 0B"), "{}", pruned.stdout);
    assert_eq!(fs::read_dir(engine.root().join("content/blobs/sha256")).unwrap().count(), 2);
    let after = engine.cli(&["save", "busybox:test"]).ok();
    assert!(before.stdout == after.stdout, "another archive is saved");
    engine.cli(&["system", "check"]).ok();
    engine.finish();

    let arguments = vec!["--give-up-blobs".to_owned()];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let blobs = || fs::read_dir(engine.root().join("content/blobs/sha256")).unwrap().count();
    let patience = std::time::Duration::from_secs(20);
    wharf_testkit::wait::within(patience, || (blobs() == 2).then_some(())).expect("the blob is given up by itself");
    let again = engine.cli(&["save", "busybox:test"]).ok();
    assert_eq!(again.stdout.len(), before.stdout.len());
    engine.finish();
}

#[test]
fn gzip_blobs_are_given_up_and_fetched_back_from_where_they_came() {
    let registry = FaultyRegistry::start();
    let other = FaultyRegistry::start();
    let app = Archive::new().file("app", 0o644, &noise(300_000, 5)).finish();
    let blobs = registry.gzip_image("team/app", "1", &[busybox_rootfs().to_vec(), app]);
    let origin = format!("{}/team/app:1", registry.address());
    let engine = TempEngine::start_with(Options { without_image: true, ..Options::default() });
    engine.cli(&["pull", &origin]).ok();
    let before = engine.cli(&["save", &origin]).ok();
    let here = |blob: &String| engine.root().join("content/blobs/sha256").join(&blob["sha256:".len()..]).exists();

    // A registry that has lost a blob is not relied on.
    let kept = registry.stored(&blobs[0]).unwrap();
    registry.forget(&blobs[0]);
    let pruned = engine.cli(&["image", "prune", "-f", "--blobs"]).ok();
    assert!(pruned.stdout.contains("fetched again: 1; kept: 1"), "{}", pruned.stdout);
    assert!(here(&blobs[0]) && !here(&blobs[1]));
    registry.blob(kept.clone());
    engine.cli(&["image", "prune", "-f", "--blobs"]).ok();
    assert!(!blobs.iter().any(here), "the blobs are still here");
    assert_eq!(engine.cli(&["run", "--rm", &origin]).ok().stdout, "pulled\n");
    let check = engine.cli(&["system", "check"]).ok();
    assert!(check.stdout.contains("compared 2 layers: all is well"), "{}", check.stdout);

    // Neither a pull of what is here nor a push to where it came from moves a byte of a layer.
    let downloads = || blobs.iter().map(|blob| registry.count("GET", blob)).sum::<usize>();
    let first = downloads();
    engine.cli(&["pull", &origin]).ok();
    for name in ["team/app:2", "else/app:1"] {
        let name = format!("{}/{name}", registry.address());
        engine.cli(&["tag", &origin, &name]).ok();
        engine.cli(&["push", &name]).ok();
    }
    assert_eq!(downloads(), first);

    // Another registry, and an archive, get the same bytes.
    let copy = format!("{}/copy:1", other.address());
    engine.cli(&["tag", &origin, &copy]).ok();
    engine.cli(&["push", &copy]).ok();
    assert_eq!(other.stored(&blobs[0]).unwrap(), kept);
    engine.cli(&["image", "prune", "-f", "--blobs"]).ok();
    assert!(!blobs.iter().any(here));
    let after = engine.cli(&["save", &origin]).ok();
    assert!(before.stdout == after.stdout, "another archive is saved");
    assert!(blobs.iter().all(here));
    engine.finish();
}

#[test]
fn a_blob_whose_registry_has_lost_it_is_missed_with_a_hint_and_heals() {
    let registry = FaultyRegistry::start();
    let app = Archive::new().file("app", 0o644, &noise(300_000, 6)).finish();
    let layers = [busybox_rootfs().to_vec(), app];
    let blobs = registry.gzip_image("app", "1", &layers);
    let origin = format!("{}/app:1", registry.address());
    let engine = TempEngine::start_with(Options { without_image: true, ..Options::default() });
    engine.cli(&["pull", &origin]).ok();
    let archive = engine.scratch().join("whole.tar");
    engine.cli(&["save", "-o", archive.to_str().unwrap(), &origin]).ok();
    engine.cli(&["image", "prune", "-f", "--blobs"]).ok();
    let content = || fs::read_dir(engine.root().join("content/blobs/sha256")).unwrap().count();
    let left = content();

    // What comes back has to be the same bytes.
    registry.set(Faults { spoil: 100, ..Faults::default() });
    let half = engine.scratch().join("half.tar");
    let spoilt = engine.cli(&["save", "-o", half.to_str().unwrap(), &origin]).exits(1);
    assert!(spoilt.stderr.contains("does not give it back"), "{}", spoilt.stderr);
    registry.set(Faults::default());
    blobs.iter().for_each(|blob| registry.forget(blob));
    let failed = engine.cli(&["save", "-o", half.to_str().unwrap(), &origin]).exits(1);
    assert!(
        failed.stderr.contains("was given up") && failed.stderr.contains("load it from an archive"),
        "{}",
        failed.stderr
    );
    assert!(!half.exists(), "half an archive was left");
    assert_eq!(content(), left);
    assert_eq!(engine.cli(&["run", "--rm", &origin]).ok().stdout, "pulled\n");

    // An archive brings back what is missing, and so does another registry.
    engine.cli(&["load", "-i", archive.to_str().unwrap()]).ok();
    engine.cli(&["save", "-o", half.to_str().unwrap(), &origin]).ok();
    assert_eq!(fs::read(&archive).unwrap(), fs::read(&half).unwrap());
    engine.finish();
}

#[test]
fn an_archive_is_imported_from_an_address() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for status in ["200 OK", "404 Not Found"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            let body = if status.starts_with("200") { busybox_rootfs() } else { &b"no"[..] };
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    let engine = TempEngine::start_with(Options { without_image: true, ..Options::default() });
    let url = format!("http://{address}/rootfs.tar");
    let output = engine.cli(&["import", "--change", "CMD [\"echo\",\"fetched\"]", &url, "web:1"]).ok();
    assert!(output.stdout.contains(&format!("Downloading from {url}\n")), "{}", output.stdout);
    assert!(output.stdout.lines().last().unwrap().starts_with("sha256:"), "{}", output.stdout);
    assert_eq!(engine.cli(&["run", "--rm", "web:1"]).ok().stdout, "fetched\n");
    let missing = engine.cli(&["import", &url, "web:2"]).exits(1);
    assert!(!missing.stderr.is_empty());
    server.join().unwrap();
    engine.finish();
}
