//! A container sees itself and nothing of the host.

use std::collections::BTreeMap;

use wharf_testkit::TempEngine;

fn shell(engine: &TempEngine, flags: &[&str], script: &str) -> String {
    let arguments = [&["run", "--rm"], flags, &["busybox:test", "sh", "-c", script]].concat();
    engine.cli(&arguments).ok().line().to_owned()
}

fn status(engine: &TempEngine, flags: &[&str]) -> BTreeMap<String, String> {
    let text = shell(engine, flags, "cat /proc/self/status");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn every_namespace_is_new() {
    let engine = TempEngine::start();
    assert_eq!(shell(&engine, &[], "echo $$"), "1");
    for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let inside = shell(&engine, &[], &format!("readlink /proc/self/ns/{kind}"));
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        // The cgroup namespace is Docker's default only on cgroup v2; wharf makes it always, as its design says.
        assert_ne!(inside, outside.display().to_string(), "{kind}");
    }
    for kind in ["pid", "net", "uts", "ipc"] {
        let flags = ["--pid", "host", "--network", "host", "--uts", "host", "--ipc", "host"];
        let inside = shell(&engine, &flags, &format!("readlink /proc/self/ns/{kind}"));
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_eq!(inside, outside.display().to_string(), "{kind}");
    }
    engine.finish();
}

#[test]
fn only_its_own_processes_are_there() {
    let engine = TempEngine::start();
    let processes = shell(&engine, &[], "ls /proc | grep -c '^[0-9]*$'");
    assert!(processes.parse::<u32>().unwrap() <= 4, "{processes}");
    engine.finish();
}

#[test]
fn capabilities_are_dockers_default() {
    let engine = TempEngine::start();
    let process = status(&engine, &[]);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(process[set], "00000000a80425fb", "{set}");
    }
    assert_eq!(process["CapAmb"], "0000000000000000");
    assert_eq!(status(&engine, &["-u", "1000"])["CapEff"], "0000000000000000");
    assert_eq!(status(&engine, &["--cap-drop", "ALL"])["CapBnd"], "0000000000000000");
    assert_eq!(status(&engine, &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"])["CapEff"], "0000000000001000");
    engine.finish();
}

#[test]
fn the_system_call_filter_is_on() {
    let engine = TempEngine::start();
    assert_eq!(status(&engine, &[])["Seccomp"], "2");
    assert_eq!(status(&engine, &["--security-opt", "seccomp=unconfined"])["Seccomp"], "0");
    assert_eq!(status(&engine, &["--security-opt", "no-new-privileges"])["NoNewPrivs"], "1");
    // New user namespaces and mounts are refused without the capability for them.
    assert_eq!(shell(&engine, &[], "unshare -U true 2>/dev/null || echo refused"), "refused");
    assert_eq!(shell(&engine, &[], "mount -t tmpfs x /tmp 2>/dev/null || echo refused"), "refused");
    engine.finish();
}

#[test]
fn proc_and_sys_are_masked_and_read_only() {
    let engine = TempEngine::start();
    assert_eq!(
        shell(&engine, &[], "wc -c < /proc/kcore; wc -c < /proc/keys; ls /proc/acpi /sys/firmware | grep -v : | wc -l")
            .split_whitespace()
            .collect::<Vec<_>>()
            .first(),
        Some(&"0")
    );
    for path in ["/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/sys/kernel/x", "/proc/irq/x"] {
        let script = format!("(echo 0 > {path}) 2>/dev/null || echo refused");
        assert_eq!(shell(&engine, &[], &script), "refused", "{path}");
    }
    let masked = shell(&engine, &["--privileged"], "mount -t tmpfs x /tmp && echo mounted");
    assert_eq!(masked, "mounted");
    engine.finish();
}

#[test]
fn devices_are_the_standard_ones() {
    let engine = TempEngine::start();
    let devices = shell(&engine, &[], "cd /dev; ls");
    let expected = "console fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let found: Vec<&str> = devices.lines().filter(|name| !["console", "core"].contains(name)).collect();
    let expected: Vec<&str> = expected.split(' ').filter(|name| *name != "console").collect();
    assert_eq!(found, expected);
    assert_eq!(shell(&engine, &[], "head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo ok"), "4\nok");
    // The node may be made (CAP_MKNOD is a default), but the device cgroup does not let it be opened.
    let script = "mknod /tmp/disk b 254 0 && (head -c 1 /tmp/disk >/dev/null) 2>/dev/null || echo refused";
    assert_eq!(shell(&engine, &[], script), "refused");
    let script = "mknod /tmp/kmsg c 1 11 && (head -c 1 /tmp/kmsg >/dev/null) 2>/dev/null || echo refused";
    assert_eq!(shell(&engine, &[], script), "refused");
    assert_eq!(shell(&engine, &["--device", "/dev/zero:/dev/nil"], "head -c 3 /dev/nil | wc -c"), "3");
    engine.finish();
}

#[test]
fn no_descriptor_leaks_in() {
    let engine = TempEngine::start();
    assert_eq!(shell(&engine, &[], "ls /proc/self/fd | wc -l"), "4", "0, 1, 2 and the one of ls");
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sleep", "1000"]).ok();
    let output = engine.cli(&["exec", "box", "ls", "/proc/self/fd"]).ok();
    assert_eq!(output.stdout, "0\n1\n2\n3\n");
    let inside = engine.cli(&["exec", "box", "sh", "-c", "ls -l /proc/1/fd | grep -c -- '->'"]).ok();
    assert_eq!(inside.line(), "3");
    engine.finish();
}

#[test]
fn no_mount_of_the_host_is_seen() {
    let engine = TempEngine::start();
    let mounts = shell(&engine, &[], "cut -d ' ' -f 5 /proc/self/mountinfo");
    for point in mounts.lines() {
        let known = ["/", "/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].contains(&point)
            || ["/proc/", "/dev/", "/sys/"].iter().any(|top| point.starts_with(top));
        assert!(known, "{point} in\n{mounts}");
    }
    engine.finish();
}
