//! Limits hold, on cgroup v1 and v2.

use wharf_testkit::TempEngine;

/// What is in a limit's file: v1's controller and name, v2's name.
pub fn read(engine: &TempEngine, container: &str, v1: (&str, &str), v2: &str) -> String {
    let file = file(engine, container, v1, v2);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned()
}

/// A file of a container's cgroup.
pub fn file(engine: &TempEngine, container: &str, v1: (&str, &str), v2: &str) -> String {
    let pid = engine.get(&format!("/containers/{container}/json"))["State"]["Pid"].to_string();
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let controller = |line: &str| line.split(':').nth(1).is_some_and(|list| list.split(',').any(|name| name == v1.0));
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap_or_default().to_owned();
    match cgroups.lines().find(|line| controller(line)) {
        Some(line) => format!("/sys/fs/cgroup/{}{}/{}", v1.0, path(line), v1.1),
        None => format!("/sys/fs/cgroup{}/{v2}", path(cgroups.lines().last().unwrap_or_default())),
    }
}

#[test]
fn limits_are_written() {
    let engine = TempEngine::start();
    let flags = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"];
    let arguments = [&["run", "-d", "--name", "box"], &flags[..], &["busybox:test", "sleep", "1000"]].concat();
    engine.cli(&arguments).ok();
    assert_eq!(read(&engine, "box", ("memory", "memory.limit_in_bytes"), "memory.max"), "67108864");
    assert_eq!(read(&engine, "box", ("pids", "pids.max"), "pids.max"), "50");
    let quota = read(&engine, "box", ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(["50000", "50000 100000"].contains(&quota.as_str()), "{quota}");
    engine.finish();
}

#[test]
fn cgroups_are_below_the_engines_own() {
    let engine = TempEngine::start();
    let id = engine.cli(&["run", "-d", "busybox:test", "sleep", "1000"]).ok();
    let pid = engine.get(&format!("/containers/{}/json", id.line()))["State"]["Pid"].to_string();
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let expected = format!("{}/", engine.cgroup());
    assert!(cgroups.lines().any(|line| line.contains(&expected) && line.contains(id.line())), "{cgroups}");
    engine.finish();
}

#[test]
fn too_much_memory_is_killed_and_told() {
    let engine = TempEngine::start();
    let limits = ["--memory", "16m", "--memory-swap", "16m"];
    let arguments = [&["run", "--name", "eater"], &limits[..], &["busybox:test", "tail", "/dev/zero"]].concat();
    engine.cli(&arguments).exits(137);
    let state = &engine.get("/containers/eater/json")["State"];
    assert_eq!(state["OOMKilled"], true);
    assert_eq!(state["ExitCode"], 137);
    engine.finish();
}

#[test]
fn too_many_processes_are_refused() {
    let engine = TempEngine::start();
    let script = "i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done; echo all";
    let output = engine.cli(&["run", "--rm", "--pids-limit", "8", "busybox:test", "sh", "-c", script]);
    assert!(!output.stdout.contains("all"), "{output:?}");
    engine.finish();
}

#[test]
fn stats_count_the_container() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "--memory", "32m", "busybox:test", "sleep", "1000"]).ok();
    let stats = engine.get("/containers/box/stats?stream=false&one-shot=true");
    assert_eq!(stats["memory_stats"]["limit"], 33_554_432);
    assert!(stats["pids_stats"]["current"].as_u64().unwrap_or(0) >= 1, "{stats}");
    engine.finish();
}
