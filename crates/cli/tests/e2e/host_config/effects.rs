//! What is taken has its effect, also when it is changed later.

use serde_json::json;
use wharf_testkit::{Options, TempEngine};

use crate::limits::read;

fn shell(engine: &TempEngine, flags: &[&str], script: &str) -> String {
    let arguments = [&["run", "--rm", "--network", "none"], flags, &["busybox:test", "sh", "-c", script]].concat();
    engine.cli(&arguments).ok().stdout.trim().to_owned()
}

#[test]
fn a_process_gets_what_was_asked_for_it() {
    let engine = TempEngine::start();
    let flags =
        "--ulimit nofile=100:200 --group-add 1234 --oom-score-adj 500 --shm-size 1m --sysctl kernel.shmmax=4096";
    let script = "ulimit -Sn; ulimit -Hn; id -G; cat /proc/self/oom_score_adj; df -k /dev/shm | tail -n 1 | \
                  tr -s ' ' | cut -d ' ' -f 2; cat /proc/sys/kernel/shmmax";
    let output = shell(&engine, &flags.split(' ').collect::<Vec<_>>(), script);
    assert_eq!(output.lines().collect::<Vec<_>>(), ["100", "200", "0 1234", "500", "1024", "4096"]);
    engine.finish();
}

#[test]
fn the_engines_defaults_hold_where_nothing_else_is_said() {
    let arguments = ["--default-ulimit", "nofile=300:400", "--default-shm-size", "2m", "--init"];
    let arguments = arguments.map(str::to_owned).to_vec();
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let script = "ulimit -Sn; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; [ $$ = 1 ] || echo init";
    assert_eq!(shell(&engine, &[], script), "300\n2048\ninit");
    assert_eq!(shell(&engine, &["--ulimit", "nofile=10:20", "--init=false", "--shm-size", "1m"], script), "10\n1024");
    engine.finish();
}

#[test]
fn rates_of_a_disk_are_limited() {
    let engine = TempEngine::start();
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut disks = disks.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let Some(disk) = disks.find(|name| std::path::Path::new("/dev").join(name).exists() && !name.starts_with("ram"))
    else {
        super::skipped("this host has no disk in /dev");
        return;
    };
    let number = std::fs::read_to_string(format!("/sys/block/{disk}/dev")).unwrap().trim().to_owned();
    let (bytes, operations) = (format!("/dev/{disk}:1mb"), format!("/dev/{disk}:100"));
    let flags = ["--device-read-bps", &bytes, "--device-write-iops", &operations];
    let arguments = [&["run", "-d", "--name", "box"], &flags[..], &["busybox:test", "sleep", "1000"]].concat();
    engine.cli(&arguments).ok();
    let rate = read(&engine, "box", ("blkio", "blkio.throttle.read_bps_device"), "io.max");
    assert!(rate.contains(&number) && rate.contains("1048576"), "{rate}");
    let rate = read(&engine, "box", ("blkio", "blkio.throttle.write_iops_device"), "io.max");
    assert!(rate.contains(&number) && rate.contains("100"), "{rate}");
    engine.finish();
}

#[test]
fn limits_change_while_the_container_runs() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "--pids-limit", "50", "busybox:test", "sleep", "1000"]).ok();
    let flags = ["--memory", "64m", "--memory-swap", "128m", "--pids-limit", "20", "--cpu-shares", "512"];
    engine.cli(&[&["update"], &flags[..], &["--cpuset-cpus", "0", "--cpu-quota", "50000", "box"]].concat()).ok();
    assert_eq!(read(&engine, "box", ("memory", "memory.limit_in_bytes"), "memory.max"), "67108864");
    assert_eq!(read(&engine, "box", ("pids", "pids.max"), "pids.max"), "20");
    assert_eq!(read(&engine, "box", ("cpuset", "cpuset.cpus"), "cpuset.cpus"), "0");
    assert!(read(&engine, "box", ("cpu", "cpu.cfs_quota_us"), "cpu.max").starts_with("50000"));
    let host = engine.get("/containers/box/json")["HostConfig"].clone();
    assert_eq!(
        (&host["Memory"], &host["MemorySwap"], &host["PidsLimit"]),
        (&json!(64 << 20), &json!(128 << 20), &json!(20))
    );
    // What is not named stays; no limit is a limit, too.
    engine.cli(&["update", "--pids-limit", "-1", "box"]).ok();
    assert_eq!(read(&engine, "box", ("pids", "pids.max"), "pids.max"), "max");
    assert_eq!(read(&engine, "box", ("memory", "memory.limit_in_bytes"), "memory.max"), "67108864");
    let refused = engine.cli(&["update", "--cpus", "0.5", "box"]).exits(1);
    assert!(
        refused.stderr.contains("Nano CPUs cannot be updated as CPU Quota has already been set"),
        "{}",
        refused.stderr
    );
    let refused = engine.cli(&["update", "--memory", "256m", "box"]).exits(1);
    assert!(refused.stderr.contains("update the memoryswap at the same time"), "{}", refused.stderr);
    engine.finish();
}

#[test]
fn devices_by_their_vendors_names() {
    let folder = tempfile::tempdir().unwrap();
    let description = json!({"cdiVersion": "0.6.0", "kind": "example.org/thing", "devices": [{
        "name": "one",
        "containerEdits": {
            "env": ["THING=one"],
            "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero", "permissions": "r"}],
            "mounts": [{"hostPath": folder.path(), "containerPath": "/thing", "options": ["ro", "bind"]}]
        }
    }]});
    std::fs::write(folder.path().join("thing.json"), description.to_string()).unwrap();
    let arguments = vec!["--cdi-spec-dir".to_owned(), folder.path().display().to_string()];
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let script = "echo $THING; head -c 3 /dev/thing | wc -c; ls /thing";
    let output = shell(&engine, &["--device", "example.org/thing=one"], script);
    assert_eq!(output, "one\n3\nthing.json");
    let flags = ["run", "--rm", "--device", "example.org/thing=two", "busybox:test", "true"];
    let refused = engine.cli(&flags).exits(125);
    assert!(refused.stderr.contains("unresolvable CDI devices example.org/thing=two"), "{}", refused.stderr);
    let refused = engine.cli(&["run", "--rm", "--gpus", "all", "busybox:test", "true"]).exits(125);
    assert!(
        refused.stderr.contains("could not select device driver \"\" with capabilities: [[gpu]]"),
        "{}",
        refused.stderr
    );
    engine.finish();
}
