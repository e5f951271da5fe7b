//! Ways out of containers that others had, tried here. On the host stands a canary that must stay as it is.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use wharf_testkit::engine::program;
use wharf_testkit::{Output, TempEngine};

const CANARY: &str = "canary";

/// A file of the host that only someone who got out can read or change.
fn canary(engine: &TempEngine) -> PathBuf {
    let folder = engine.scratch().join("host");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), CANARY).unwrap();
    folder
}

fn is_well(folder: &PathBuf) {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "something was made on the host");
    assert_eq!(std::fs::read_to_string(folder.join("file")).unwrap(), CANARY);
}

fn digest(path: &std::path::Path) -> String {
    Output::of(Command::new("sha256sum").arg(path), b"").ok().stdout
}

/// CVE-2019-5736: a program of the container that is the runtime's own executable, and writes to it.
#[test]
fn the_runtimes_executable_is_not_written_to() {
    let engine = TempEngine::start();
    let before = digest(&program());
    // Whatever stands behind any process of the container is tried, while others are started into it.
    let script = "while true; do for exe in /proc/[0-9]*/exe; do case $(readlink $exe) in *busybox*|'') ;; *) \
                  (echo x > $exe) 2>/dev/null && echo WRITTEN; (echo x >> $exe) 2>/dev/null && echo WRITTEN;; \
                  esac; done; done";
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    engine.cli(&["exec", "box", "sh", "-c", "printf '#!/proc/self/exe\\n' > /evil; chmod +x /evil"]).ok();
    for _ in 0..5 {
        // Both end in one way or another; what counts is what they leave.
        let _ended = engine.cli(&["exec", "box", "/proc/self/exe"]);
        let _ended = engine.cli(&["exec", "box", "/evil"]);
        let _ended = engine.cli(&["run", "--rm", "busybox:test", "/proc/self/exe"]);
    }
    assert_eq!(engine.cli(&["logs", "box"]).ok().stdout, "");
    assert_eq!(digest(&program()), before);
    engine.finish();
}

/// CVE-2024-21626: a working folder that is a descriptor of the host's.
#[test]
fn no_descriptor_of_the_host_is_a_working_folder() {
    let engine = TempEngine::start();
    let folder = canary(&engine);
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let up = format!("cat ../../../../../../..{0}/file ..{0}/file .{0}/file", folder.display());
    for number in 3..12 {
        for place in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../..")] {
            for words in [&["run", "--rm", "-w", &place, "busybox:test"][..], &["exec", "-w", &place, "box"]] {
                let output = engine.cli(&[words, &["sh", "-c", &up]].concat());
                assert!(!output.stdout.contains(CANARY), "{words:?}: {output:?}");
            }
        }
    }
    is_well(&folder);
    engine.finish();
}

/// CVE-2025-31133: a link in the place of /dev/null, which is put over what is masked.
#[test]
fn masked_paths_are_hidden_behind_nothing_else_than_the_null_device() {
    let engine = TempEngine::start();
    let dev = engine.scratch().join("dev");
    std::fs::create_dir(&dev).unwrap();
    symlink("/proc/sys/kernel/core_pattern", dev.join("null")).unwrap();
    let pattern = || std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = pattern();
    let bind = format!("{}:/dev", dev.display());
    let script = "echo x > /proc/kcore; echo x > /proc/keys; echo STARTED";
    let output = engine.cli(&["run", "--rm", "-v", &bind, "busybox:test", "sh", "-c", script]);
    assert!(!output.stdout.contains("STARTED") && output.stderr.contains("not the null device"), "{output:?}");
    assert_eq!(pattern(), before);
    engine.finish();
}

/// CVE-2025-52565: a link in the place of /dev/console, over which the terminal is put.
#[test]
fn the_terminal_is_put_nowhere_else_than_at_the_console() {
    let engine = TempEngine::start();
    let dev = engine.scratch().join("dev");
    std::fs::create_dir_all(dev.join("pts")).unwrap();
    symlink("/proc/sysrq-trigger", dev.join("console")).unwrap();
    let null = Command::new("mknod").arg(dev.join("null")).args(["c", "1", "3"]).status().unwrap();
    assert!(null.success());
    let bind = format!("{}:/dev", dev.display());
    let script = "mount | grep -c 'devpts on /proc'; (echo h > /proc/sysrq-trigger) 2>/dev/null && echo WRITTEN; echo";
    let output = engine.cli(&["run", "--rm", "-t", "-v", &bind, "busybox:test", "sh", "-c", script]);
    assert!(!output.stdout.contains("WRITTEN") && !output.stdout.starts_with('1'), "{output:?}");
    engine.finish();
}

/// CVE-2025-52881: something else in the place of /proc, to which kernel parameters and labels are written.
#[test]
fn kernel_parameters_are_written_to_the_kernel_only() {
    let engine = TempEngine::start();
    let fake = engine.scratch().join("proc");
    std::fs::create_dir_all(fake.join("sys/kernel")).unwrap();
    std::fs::create_dir_all(fake.join("self/attr")).unwrap();
    std::fs::write(fake.join("sys/kernel/shmmax"), CANARY).unwrap();
    std::fs::write(fake.join("self/attr/exec"), CANARY).unwrap();
    let bind = format!("{}:/proc", fake.display());
    let flags = ["--sysctl", "kernel.shmmax=4096", "--security-opt", "apparmor=other", "-v", &bind];
    let output = engine.cli(&[&["run", "--rm"], &flags[..], &["busybox:test", "echo", "STARTED"]].concat());
    assert!(!output.stdout.contains("STARTED") && output.stderr.contains("/proc"), "{output:?}");
    for file in ["sys/kernel/shmmax", "self/attr/exec"] {
        assert_eq!(std::fs::read_to_string(fake.join(file)).unwrap(), CANARY, "{file}");
    }
    engine.finish();
}

fn tar_of(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(4);
    builder.append_data(&mut header, name, &b"evil"[..]).unwrap();
    builder.into_inner().unwrap()
}

/// CVE-2018-15664: a folder that is a link to the host's by the time that files are copied.
#[test]
fn copying_follows_no_link_out_of_the_container() {
    let engine = TempEngine::start();
    let folder = canary(&engine);
    let script = format!(
        "mkdir -p /a /held; while true; do mv /a /held/a; ln -s {0} /a; ln -s / /b 2>/dev/null; rm /a; mv /held/a /a; done",
        folder.display()
    );
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", &script]).ok();
    let evil = tar_of("evil");
    for round in 0..60 {
        let inside = folder.strip_prefix("/").unwrap().display().to_string();
        for path in ["/a".to_owned(), format!("/b/{inside}"), format!("/a/../../../..{}", folder.display())] {
            let url = format!("/containers/box/archive?path={path}");
            // It may be a folder, a link to nowhere, or not there: any answer will do.
            let _answer = engine.http().request("PUT", &url, &evil, "application/x-tar");
            let out = engine.http().get(&format!("{url}/file")).unwrap();
            assert!(!String::from_utf8_lossy(&out.body).contains(CANARY), "round {round}: {path}");
        }
    }
    is_well(&folder);
    engine.finish();
}

/// Mounts of one container, while another one swaps folders for links in a volume that they share.
#[test]
fn mounts_follow_no_link_out_of_the_container() {
    let engine = TempEngine::start();
    let folder = canary(&engine);
    let script = format!(
        "cd /vol; mkdir -p sub held; while true; do mv sub held/sub; ln -s {} sub; rm sub; mv held/sub sub; done",
        folder.display()
    );
    engine.cli(&["run", "-d", "--name", "swapper", "-v", "vol:/vol", "busybox:test", "sh", "-c", &script]).ok();
    let source = engine.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    for round in 0..12 {
        let mounts = json!([
            {"Type": "volume", "Source": "vol", "Target": "/vol"},
            {"Type": "bind", "Source": source, "Target": "/vol/sub/made"},
            {"Type": "tmpfs", "Target": "/vol/sub/too"},
            {"Type": "volume", "Source": "vol", "Target": "/part", "VolumeOptions": {"Subpath": "sub"}}
        ]);
        let body = json!({"Image": "busybox:test", "Cmd": ["cat", "/part/file", "/vol/sub/file"],
            "HostConfig": {"Mounts": mounts, "NetworkMode": "none"}});
        let mut http = engine.http();
        let created = http.post("/containers/create", &body).unwrap().ok().json();
        let id = created["Id"].as_str().unwrap();
        // Whether it starts depends on what the swapper has just done.
        let _started = http.post(&format!("/containers/{id}/start"), &json!(null)).unwrap();
        let _ended = http.post(&format!("/containers/{id}/wait"), &json!(null)).unwrap();
        let output = engine.cli(&["logs", id]);
        assert!(!output.stdout.contains(CANARY), "round {round}: {output:?}");
        http.delete(&format!("/containers/{id}?force=1")).unwrap().ok();
    }
    is_well(&folder);
    engine.finish();
}
