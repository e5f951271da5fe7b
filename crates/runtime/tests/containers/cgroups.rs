use std::fs;
use std::io::Read;
use std::path::PathBuf;

use wharf_runtime::cgroup::{Group, Layout};
use wharf_runtime::spec::Resources;

use super::harness::Fixture;

/// The container's folder of a version 1 controller, or of version 2.
fn folder(fixture: &Fixture, controller: &str) -> (PathBuf, bool) {
    let path = fixture.spec.cgroup.path.trim_start_matches('/');
    match Layout::detect().unwrap() {
        Layout::Unified { root } => (root.join(path), true),
        Layout::Legacy { hierarchies } => {
            let tree = hierarchies.iter().find(|tree| tree.controllers.iter().any(|name| name == controller)).unwrap();
            (tree.mount.join(path), false)
        }
    }
}

fn value(fixture: &Fixture, controller: &str, v1: &str, v2: &str) -> String {
    let (folder, unified) = folder(fixture, controller);
    fs::read_to_string(folder.join(if unified { v2 } else { v1 })).unwrap().trim().to_owned()
}

fn limited() -> Fixture {
    let mut fixture = Fixture::new("echo up; while :; do sleep 60; done");
    fixture.spec.cgroup.path = format!("{}/nested/leaf", fixture.spec.cgroup.path);
    fixture.spec.cgroup.resources = Resources {
        memory: Some(64 << 20),
        memory_swap: Some(64 << 20),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(20),
        ..Resources::default()
    };
    fixture
}

#[test]
fn limits_are_set_changed_and_gone() {
    let fixture = limited();
    let (running, mut reader) = fixture.start().unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(value(&fixture, "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(value(&fixture, "pids", "pids.max", "pids.max"), "20");
    assert_eq!(value(&fixture, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    let quota = value(&fixture, "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(quota == "50000" || quota == "50000 100000");
    let more = Resources { memory: Some(128 << 20), memory_swap: Some(-1), pids: Some(30), ..Resources::default() };
    running.0.cgroup.update(&more).unwrap();
    let less = Resources { memory: Some(32 << 20), memory_swap: Some(32 << 20), ..Resources::default() };
    running.0.cgroup.update(&less).unwrap();
    assert_eq!(value(&fixture, "memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    assert_eq!(value(&fixture, "pids", "pids.max", "pids.max"), "30");
    drop(running);
    assert!(fixture.cgroups().is_empty());
    // Twice is no error.
    Group::open(&fixture.spec.cgroup.path).unwrap().remove().unwrap();
}

#[test]
fn figures_processes_and_membership() {
    let fixture = limited();
    let (running, mut reader) = fixture.start().unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    let group = Group::open(&fixture.spec.cgroup.path).unwrap();
    assert!(group.pids().unwrap().contains(&running.0.child.pid()));
    let stats = group.stats().unwrap();
    assert!(stats.memory_usage.unwrap() > 0);
    assert_eq!((stats.memory_limit, stats.pids_limit), (Some(64 << 20), Some(20)));
    assert!((1..=3).contains(&stats.pids_current.unwrap()));
    assert!(stats.cpu_usage.unwrap() > 0);
    assert_eq!(group.oom_kills().unwrap(), 0);
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", running.0.child.pid())).unwrap();
    for line in membership.lines().filter(|line| !line.starts_with("0::")) {
        assert!(line.ends_with(&fixture.spec.cgroup.path), "{membership}");
    }
}

#[test]
fn frozen_processes_stand_and_all_can_be_killed() {
    let mut fixture = Fixture::new("sleep 1000 & sleep 1000 & echo up; while :; do sleep 60; done");
    fixture.spec.namespaces.pid = wharf_runtime::spec::Namespace::Host;
    let (running, mut reader) = fixture.start().unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    let group = &running.0.cgroup;
    group.freeze().unwrap();
    group.thaw().unwrap();
    group.kill_all().unwrap();
    assert_eq!(running.0.child.wait().unwrap(), 137);
    group.remove().unwrap();
}

#[test]
fn memory_beyond_the_limit_is_fatal_and_counted() {
    let mut fixture = Fixture::new("dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?");
    fixture.spec.cgroup.resources =
        Resources { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Resources::default() };
    let (running, mut reader) = fixture.start().unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    running.0.child.wait().unwrap();
    assert!(output.contains("137"), "{output}");
    assert_eq!(running.0.cgroup.oom_kills().unwrap(), 1);
}

#[test]
fn devices_that_are_not_listed_are_closed() {
    let script = "mknod /tmp/mem c 1 1 && cat /tmp/mem > /dev/null; mknod /tmp/null c 1 3 && cat /tmp/null && echo open; mknod /tmp/zero c 1 5";
    let mut fixture = Fixture::new(script);
    let outcome = fixture.run();
    assert_eq!(outcome.output, "cat: can't open '/tmp/mem': Operation not permitted\nopen\n");
    fixture.spec.privileged = true;
    fixture.spec.device_rules.clear();
    fixture.spec.process.argv[2] = "head -c 1 /tmp/zero > /dev/null && echo open".to_owned();
    assert_eq!(fixture.output(), "open\n");
}

#[test]
fn the_container_sees_its_own_part_of_the_tree() {
    let output = Fixture::new("ls /sys/fs/cgroup; cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x")
        .run()
        .output;
    assert!(output.contains("memory") || output.contains("cgroup.procs"), "{output}");
    assert!(!output.contains("runtime-test"), "{output}");
}

#[test]
fn a_cgroup_that_is_in_use_is_a_conflict() {
    let fixture = Fixture::new("echo up; while :; do sleep 60; done");
    let (_running, _reader) = fixture.start().unwrap();
    assert_eq!(fixture.start().err().unwrap().kind(), wharf_types::Kind::Conflict);
    assert!(!fixture.cgroups().is_empty());
}
