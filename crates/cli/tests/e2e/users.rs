//! `--userns-remap`: other users of the host stand behind those of containers.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use wharf_testkit::engine::program;
use wharf_testkit::{Options, TempEngine};

const FIRST: u32 = 231_072;

/// An engine for which /etc/subuid gives a user a range, and the folder that must outlive it.
fn remapped() -> (TempEngine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name);
    std::fs::create_dir(below("etc")).unwrap();
    for file in ["etc/subuid", "etc/subgid"] {
        std::fs::write(below(file), format!("remapper:{FIRST}:65536\n")).unwrap();
    }
    // /etc of the engine alone.
    let (etc, wharf) = (below("etc"), program());
    let (etc, wharf) = (etc.display(), wharf.display());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = engine ] || exec {wharf} \"$@\"\nexec unshare --mount sh -c \
         'mount -t overlay overlay -o lowerdir={etc}:/etc /etc && exec {wharf} \"$@\"' sh \"$@\"\n"
    );
    std::fs::write(below("wharf"), script).unwrap();
    std::fs::set_permissions(below("wharf"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = vec!["--userns-remap".to_owned(), "remapper".to_owned()];
    let program = Some(below("wharf"));
    (TempEngine::start_with(Options { arguments, program, ..Options::default() }), folder)
}

fn pid(engine: &TempEngine, name: &str) -> i64 {
    engine.get(&format!("/containers/{name}/json"))["State"]["Pid"].as_i64().unwrap()
}

#[test]
fn root_in_a_container_is_somebody_else_on_the_host() {
    let (engine, _folder) = remapped();
    let script = "id -u; touch /mine; stat -c %u:%g /mine /bin /etc/hosts; sleep 1000";
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&engine, "box"))).unwrap();
    assert!(status.lines().any(|line| line.starts_with(&format!("Uid:\t{FIRST}\t"))), "{status}");
    let lines = wharf_testkit::wait::until("the container has written", || {
        let output = engine.cli(&["logs", "box"]).ok().stdout;
        (output.lines().count() == 4).then_some(output)
    });
    assert_eq!(lines, "0\n0:0\n0:0\n0:0\n");
    assert_eq!(engine.cli(&["exec", "box", "id", "-u"]).ok().line(), "0");
    assert_eq!(engine.cli(&["exec", "-u", "1000", "box", "id", "-u"]).ok().line(), "1000");
    // Root there may use its own network, and port 80.
    engine
        .cli(&[
            "exec",
            "box",
            "sh",
            "-c",
            "ip link set lo up && nc -l -p 80 -e true & sleep 0.2; nc 127.0.0.1 80 </dev/null",
        ])
        .ok();
    let info = engine.get("/info");
    assert!(info["SecurityOptions"].as_array().unwrap().iter().any(|option| option == "name=userns"), "{info}");
    engine.finish();
}

#[test]
fn files_have_the_same_owners_whoever_root_is() {
    let (engine, folder) = remapped();
    let shell = |flags: &[&str], script: &str| {
        let words = [&["run", "--rm"], flags, &["busybox:test", "sh", "-c", script]].concat();
        engine.cli(&words).ok().stdout.trim().to_owned()
    };
    assert_eq!(shell(&["-v", "data:/data"], "echo a > /data/a; chown 7:8 /data/a; stat -c %u /data"), "0");
    for flags in [&["-v", "data:/data"][..], &["-v", "data:/data", "--userns=host"]] {
        assert_eq!(shell(flags, "stat -c %u:%g /data/a"), "7:8", "{flags:?}");
    }
    // What is the host's stays the host's: its root is nobody there.
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "canary").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let bind = format!("{}:/secret", secret.display());
    assert_eq!(shell(&["-v", &bind], "stat -c %u /secret; cat /secret 2>/dev/null || echo refused"), "65534\nrefused");
    assert_eq!(shell(&["-v", &bind, "--userns=host"], "cat /secret"), "canary");
    engine.finish();
}

#[test]
fn files_are_copied_in_and_out() {
    let (engine, folder) = remapped();
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let file: PathBuf = folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    engine.cli(&["cp", file.to_str().unwrap(), "box:/in"]).ok();
    assert_eq!(engine.cli(&["exec", "box", "sh", "-c", "stat -c %u:%g /in; cat /in"]).ok().stdout, "0:0\ncontent");
    engine.cli(&["exec", "box", "sh", "-c", "echo out > /out"]).ok();
    let out = folder.path().join("out");
    engine.cli(&["cp", "box:/out", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "out\n");
    // A container that does not run is the same to copy to.
    engine.cli(&["create", "--name", "still", "busybox:test", "stat", "-c", "%u", "/in"]).ok();
    engine.cli(&["cp", file.to_str().unwrap(), "still:/in"]).ok();
    assert_eq!(engine.cli(&["start", "-a", "still"]).ok().line(), "0");
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), 0);
    engine.finish();
}

#[test]
fn what_needs_the_hosts_users_is_refused() {
    let (engine, _folder) = remapped();
    for flags in [&["--privileged"][..], &["--network", "host"], &["--pid", "host"]] {
        let refused = engine.cli(&[&["run", "--rm"], flags, &["busybox:test", "true"]].concat()).exits(125);
        assert!(refused.stderr.contains("--userns=host"), "{}", refused.stderr);
        let flags = [flags, &["--userns=host"]].concat();
        engine.cli(&[&["run", "--rm"], &flags[..], &["busybox:test", "true"]].concat()).ok();
    }
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let joined = ["run", "--rm", "--network", "container:box", "busybox:test", "readlink", "/proc/self/ns/user"];
    let users = std::fs::read_link(format!("/proc/{}/ns/user", pid(&engine, "box"))).unwrap();
    assert_eq!(engine.cli(&joined).ok().line(), users.display().to_string());
    engine.finish();
}
