//! The store of images: damage is found and repaired, space is counted truly, prune removes what was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_testkit::golden::Archive;
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

fn du(folder: &Path) -> f64 {
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
        pruned.stdout.contains("Blobs given up, for their layers can make them anew: 1; kept: 0"),
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
fn an_archive_is_imported_from_an_address() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for status in ["200 OK", "404 Not Found"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            let body = if status.starts_with("200") { wharf_testkit::golden::busybox_rootfs() } else { &b"no"[..] };
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
