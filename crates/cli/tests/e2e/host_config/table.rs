//! One row for each field of the API's schema, and what becomes of a value.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use wharf_testkit::TempEngine;

use super::{create, create_and_keep, skipped};

/// What becomes of a value.
enum Becomes {
    /// It is taken, without a word, and shown.
    Taken,
    /// The request is refused with these words.
    Refused(&'static str),
    /// The container is made, and starting it is refused with these words.
    RefusedAtStart(&'static str),
    /// It is taken away with these words.
    TakenAway(&'static str),
}

use Becomes::{Refused, RefusedAtStart, Taken, TakenAway};

fn table() -> Vec<(&'static str, Value, Becomes)> {
    let nowhere = json!([{"Path": "/dev/no-such", "Rate": 1}]);
    let missing = || RefusedAtStart("/dev/no-such");
    vec![
        ("Binds", json!(["/tmp:/data"]), Taken),
        ("ContainerIDFile", json!("/x"), Taken),
        ("LogConfig", json!({"Type": "json-file", "Config": {"max-size": "1m"}}), Taken),
        ("NetworkMode", json!("host"), Taken),
        ("PortBindings", json!({"80/tcp": [{"HostIp": "", "HostPort": "70000"}]}), Refused("invalid publish port")),
        ("RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 3}), Taken),
        ("AutoRemove", json!(true), Taken),
        ("VolumeDriver", json!("local"), Taken),
        ("VolumesFrom", json!(["no-such"]), Refused("No such container: no-such")),
        ("Mounts", json!([{"Type": "tmpfs", "Target": "/data"}]), Taken),
        ("ConsoleSize", json!([20, 80]), Taken),
        ("Annotations", json!({"a": "b"}), Taken),
        ("CapAdd", json!(["NET_ADMIN"]), Taken),
        ("CapDrop", json!(["NONSENSE"]), Refused("invalid CapDrop: unknown capability: \"CAP_NONSENSE\"")),
        ("CgroupnsMode", json!("host"), Taken),
        ("Dns", json!(["10.0.0.1"]), Taken),
        ("DnsOptions", json!(["ndots:2"]), Taken),
        ("DnsSearch", json!(["example.org"]), Taken),
        ("ExtraHosts", json!(["box:nonsense"]), Refused("invalid IP address in add-host: \"nonsense\"")),
        ("GroupAdd", json!(["1234"]), Taken),
        ("IpcMode", json!("shareable"), Taken),
        ("Cgroup", json!(""), Taken),
        ("Links", json!(["no-such:alias"]), Refused("no-such")),
        ("OomScoreAdj", json!(1001), Refused("Invalid value 1001, range for oom score adj is [-1000, 1000]")),
        ("PidMode", json!("host"), Taken),
        ("Privileged", json!(true), Taken),
        ("PublishAllPorts", json!(true), Taken),
        ("ReadonlyRootfs", json!(true), Taken),
        ("SecurityOpt", json!(["nonsense=1"]), Refused("invalid --security-opt 2: \"nonsense=1\"")),
        ("StorageOpt", json!({"size": "1G"}), Refused("supported only for overlay over xfs with 'pquota'")),
        ("Tmpfs", json!({"/scratch": "size=1m"}), Taken),
        ("UTSMode", json!("host"), Taken),
        ("UsernsMode", json!("host"), Taken),
        ("ShmSize", json!(-1), Refused("SHM size can not be less than 0")),
        ("Sysctls", json!({"kernel.panic": "1"}), RefusedAtStart("is not in a separate kernel namespace")),
        ("Runtime", json!("nonsense"), Refused("unknown or invalid runtime name: nonsense")),
        ("Isolation", json!("hyperv"), Refused("Invalid isolation: \"hyperv\" - linux only supports 'default'")),
        ("MaskedPaths", json!(["/proc/kcore"]), Taken),
        ("ReadonlyPaths", json!(["/proc/irq"]), Taken),
        ("CpuShares", json!(512), Taken),
        ("Memory", json!(1048576), Refused("Minimum memory limit allowed is 6MB")),
        ("CgroupParent", json!("/some/parent"), Taken),
        ("BlkioWeight", json!(1001), blkio(Refused("Range of blkio weight is from 10 to 1000"), "Block I/O weight")),
        ("BlkioWeightDevice", json!([{"Path": "/dev/no-such", "Weight": 300}]), blkio(missing(), "weight_device")),
        ("BlkioDeviceReadBps", nowhere.clone(), missing()),
        ("BlkioDeviceWriteBps", nowhere.clone(), missing()),
        ("BlkioDeviceReadIOps", nowhere.clone(), missing()),
        ("BlkioDeviceWriteIOps", nowhere, missing()),
        ("CpuPeriod", json!(100), Refused("CPU cfs period cannot be less than 1ms")),
        ("CpuQuota", json!(100), Refused("CPU cfs quota cannot be less than 1ms")),
        ("CpuRealtimePeriod", json!(1_000_000), realtime()),
        ("CpuRealtimeRuntime", json!(0), Taken),
        ("CpusetCpus", json!("60000"), Refused("Requested CPUs are not available - requested 60000")),
        ("CpusetMems", json!("x"), Refused("Invalid value x for cpuset mems")),
        ("Devices", json!([{"PathOnHost": "/dev/no-such", "PathInContainer": "/dev/x"}]), missing()),
        ("DeviceCgroupRules", json!(["x 1:3 rwm"]), RefusedAtStart("invalid device cgroup rule format")),
        (
            "DeviceRequests",
            json!([{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]),
            RefusedAtStart("could not select device driver \"\" with capabilities: [[gpu]]"),
        ),
        ("MemoryReservation", json!(1048576), Refused("Minimum memory reservation allowed is 6MB")),
        ("MemorySwap", json!(64 << 20), Refused("You should always set the Memory limit when using Memoryswap limit")),
        ("MemorySwappiness", json!(-1), Taken),
        ("NanoCpus", json!(-1), Refused("range of CPUs is from 0.01 to")),
        ("OomKillDisable", json!(true), TakenAway("OOM")),
        ("Init", json!(true), Taken),
        ("PidsLimit", json!(50), Taken),
        ("Ulimits", json!([{"Name": "nofile", "Soft": 1024, "Hard": 2048}]), Taken),
        ("CpuCount", json!(2), Taken),
        ("CpuPercent", json!(50), TakenAway("linux does not support CPU percent. Percent discarded.")),
        ("IOMaximumIOps", json!(1), Refused("linux does not support configuration of maximum IOPs")),
        ("IOMaximumBandwidth", json!(1), Refused("linux does not support configuration of maximum bandwidth")),
    ]
}

/// Without an I/O scheduler that weighs, the value is taken away before it is looked at.
fn blkio(otherwise: Becomes, what: &'static str) -> Becomes {
    let top = Path::new("/sys/fs/cgroup/blkio");
    let below = std::fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let has = |folder: &Path| folder.join("blkio.weight").exists() || folder.join("blkio.bfq.weight").exists();
    let weighs =
        Path::new("/sys/fs/cgroup/cgroup.controllers").exists() || has(top) || below.into_iter().any(|f| has(&f));
    if weighs { otherwise } else { TakenAway(what) }
}

fn realtime() -> Becomes {
    let able = Path::new("/sys/fs/cgroup/cpu/cpu.rt_period_us").exists();
    if able { Taken } else { Refused("kernel does not support CPU real-time scheduler") }
}

#[test]
fn every_field_is_taken_or_refused_with_reason() {
    let engine = TempEngine::start();
    let mut http = engine.http();
    for (field, value, becomes) in table() {
        let request = json!({ field: value });
        let (created, words) = match becomes {
            Taken => {
                let created = create(&mut http, "v1.55", &request);
                assert_eq!(created.status, 201, "{request}: {}", created.message);
                let shown = if field == "MemorySwappiness" { Value::Null } else { value };
                assert_eq!((&created.host[field], created.warnings.len()), (&shown, 0), "{request}: {created:?}");
                continue;
            }
            Refused(words) => {
                let created = create(&mut http, "v1.55", &request);
                assert_eq!(created.status, 400, "{request}: {created:?}");
                (created, words)
            }
            TakenAway(words) => {
                let mut created = create(&mut http, "v1.55", &request);
                assert_eq!(created.status, 201, "{request}: {created:?}");
                created.message = created.warnings.join("\n");
                (created, words)
            }
            RefusedAtStart(words) => {
                let mut created = create_and_keep(&mut http, "v1.55", &request);
                assert_eq!(created.status, 201, "{request}: {created:?}");
                let answer = http.post(&format!("/containers/{}/start", created.id), &Value::Null).unwrap();
                assert!(answer.status >= 400, "{request} starts");
                created.message = answer.text();
                if let Ok(document) = serde_json::from_str::<Value>(&created.message) {
                    created.message = document["message"].as_str().unwrap_or_default().to_owned();
                }
                http.delete(&format!("/containers/{}", created.id)).unwrap().ok();
                (created, words)
            }
        };
        assert!(created.message.contains(words), "{request}: {words:?} is not in {:?}", created.message);
    }
    engine.finish();
}

/// The table is complete: the schema has no field that it lacks.
#[test]
fn the_table_has_every_field_of_the_schema() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../../../shared/spec/engine-api-v1.55.yaml", "../../../../shared/spec/engine-api-v1.55.yaml"];
    let Some(schema) = places.iter().find_map(|place| std::fs::read_to_string(beside.join(place)).ok()) else {
        skipped("the schema of the Engine API is not beside the workspace");
        return;
    };
    let fields = |definition: &str, indent: usize| -> BTreeSet<String> {
        let lines = schema.lines().skip_while(|line| *line != format!("  {definition}:")).skip(1);
        let own = lines.take_while(|line| line.len() - line.trim_start().len() > 2 || line.is_empty());
        let names = own.filter(|line| line.len() - line.trim_start().len() == indent);
        let names = names.filter_map(|line| line.trim().split(':').next());
        names.filter(|name| name.starts_with(char::is_uppercase)).map(str::to_owned).collect()
    };
    let (host, limits) = (fields("HostConfig", 10), fields("Resources", 6));
    assert!(host.len() > 35 && limits.len() > 25, "{} and {} fields", host.len(), limits.len());
    let known: BTreeSet<String> = table().iter().map(|(field, ..)| (*field).to_owned()).collect();
    let unknown: Vec<_> = host.union(&limits).filter(|field| !known.contains(*field)).collect();
    assert!(unknown.is_empty(), "no row for {unknown:?}");
}
