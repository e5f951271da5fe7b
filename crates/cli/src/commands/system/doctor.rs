//! `doctor`: looks at the host and says what to mend.

use std::path::Path;

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::connect::DEFAULT_RUN;
use crate::failure::Outcome;
use crate::output::{self, size};

/// What `doctor` takes.
#[derive(Debug, Args)]
pub struct DoctorFlags {}

definition! {
    DoctorFlags, doctor,
    names: &["system doctor", "doctor"],
    about: "Look at the host - kernel, cgroups, firewall, space, limits - and say what to mend",
    usage: "",
    arity: Arity::None,
}

/// What a look at something found.
enum Finding {
    Fine(String),
    /// It works, but not as well as it could; and what to do.
    Weak(String, &'static str),
    /// It does not work; and what to do.
    Broken(String, &'static str),
}

use Finding::{Broken, Fine, Weak};

async fn doctor(app: &App, _flags: DoctorFlags) -> Outcome {
    let mut findings = vec![("user", user()), ("kernel", kernel()), ("cgroups", cgroups()), ("overlay", overlay())];
    findings.extend([("namespaces", namespaces()), ("nftables", nftables()), ("forwarding", forwarding())]);
    findings.extend([("other firewalls", other_firewalls()), ("space", space()), ("open files", open_files())]);
    findings.extend([("processes", processes()), ("seccomp", seccomp()), ("engine", engine(app).await)]);
    let (mut text, mut broken) = (String::new(), false);
    for (what, finding) in findings {
        let (mark, said, hint) = match finding {
            Fine(said) => ("ok     ", said, None),
            Weak(said, hint) => ("warning", said, Some(hint)),
            Broken(said, hint) => {
                broken = true;
                ("BROKEN ", said, Some(hint))
            }
        };
        text.push_str(&format!("{mark}  {what}: {said}\n"));
        text.extend(hint.map(|hint| format!("         hint: {hint}\n")));
    }
    output::out(&text)?;
    Ok(u8::from(broken))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn user() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => Fine("root".into()),
        false => Weak("not root, so some of this cannot be looked at".into(), "engines need root: use sudo"),
    }
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        _ if version >= (5, 10) => Fine(release),
        _ => Broken(release, "containers need Linux 5.10 or later"),
    }
}

fn cgroups() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let there = read("/sys/fs/cgroup/cgroup.controllers");
        let missing: Vec<&str> = ["cpu", "memory", "pids", "io"].into_iter().filter(|c| !there.contains(c)).collect();
        return match missing.is_empty() {
            true => Fine("version 2".into()),
            false => Weak(
                format!("version 2 without {}", missing.join(", ")),
                "limits of that kind cannot be set; is this itself a container, or cgroup_disable on the kernel's line?",
            ),
        };
    }
    let mounts = read("/proc/self/mounts");
    let missing: Vec<&str> = ["cpu", "memory", "pids", "devices", "freezer"]
        .into_iter()
        .filter(|name| {
            !mounts.lines().any(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                fields.get(2) == Some(&"cgroup") && fields.get(3).is_some_and(|o| o.split(',').any(|o| o == *name))
            })
        })
        .collect();
    match missing.is_empty() {
        true => Fine("version 1".into()),
        false => Broken(
            format!("version 1, and nothing is mounted for {}", missing.join(", ")),
            "boot with systemd.unified_cgroup_hierarchy=1, or mount them below /sys/fs/cgroup",
        ),
    }
}

fn overlay() -> Finding {
    match read("/proc/filesystems").lines().any(|line| line.ends_with("overlay")) {
        true => Fine("there".into()),
        false => Weak("not loaded".into(), "'modprobe overlay' loads it, if the kernel has it as a module"),
    }
}

fn namespaces() -> Finding {
    let missing: Vec<&str> = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    match missing.as_slice() {
        [] => Fine("all".into()),
        ["user"] => Weak("no user namespaces".into(), "--userns cannot be used; the kernel lacks CONFIG_USER_NS"),
        _ => Broken(format!("missing: {}", missing.join(", ")), "the kernel is built without them"),
    }
}

fn nftables() -> Finding {
    let loaded = Path::new("/sys/module/nf_tables").exists() || Path::new("/proc/net/netfilter").exists();
    match loaded {
        true => Fine("there".into()),
        false => Weak("not loaded".into(), "'modprobe nf_tables' loads it; networks and published ports need it"),
    }
}

fn forwarding() -> Finding {
    match read("/proc/sys/net/ipv4/ip_forward").as_str() {
        "1" => Fine("on".into()),
        _ => Fine("off; the engine switches it on with its first network".into()),
    }
}

/// Rules of others that drop what is forwarded drop containers' packets, too, whatever the engine's own table says.
fn other_firewalls() -> Finding {
    let tables = ["filter", "raw", "nat"]
        .into_iter()
        .filter(|table| read("/proc/net/ip_tables_names").lines().any(|line| line == *table));
    let tables: Vec<&str> = tables.collect();
    match tables.is_empty() {
        true => Fine("no tables of the old iptables".into()),
        false => Weak(
            format!("tables of the old iptables: {}", tables.join(", ")),
            "if containers cannot be reached, look whether their FORWARD chain drops: 'iptables-legacy -S FORWARD'",
        ),
    }
}

fn space() -> Finding {
    let root = Path::new(wharf_engine::DEFAULT_ROOT);
    let place = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = rustix::fs::statvfs(place) else {
        return Weak(format!("{} cannot be looked at", place.display()), "is the disk there?");
    };
    let free = stat.f_bavail * stat.f_frsize;
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let said = format!("{} free on the disk of {}", size::decimal(free as f64), root.display());
    let inodes = stat.f_files == 0 || stat.f_favail * 20 > stat.f_files;
    match (free > 2_000_000_000, inodes) {
        (true, true) => Fine(said),
        (_, false) => Weak(format!("{said}, but hardly an inode"), "'system prune' removes what nothing uses"),
        (false, _) => Weak(said, "'system df' shows what takes it, 'system prune' removes what nothing uses"),
    }
}

fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let said = limit.maximum.map_or_else(|| "unlimited".to_owned(), |n| format!("up to {n}"));
    match limit.maximum {
        Some(n) if n < 65536 => {
            Weak(said, "many containers need more: LimitNOFILE=1048576 in the unit, or 'ulimit -n'")
        }
        _ => Fine(said),
    }
}

fn processes() -> Finding {
    let most: u64 = read("/proc/sys/kernel/pid_max").parse().unwrap_or(0);
    match most {
        0..=32768 => Weak(format!("at most {most}"), "'sysctl kernel.pid_max=4194304' lets there be more"),
        _ => Fine(format!("at most {most}")),
    }
}

fn seccomp() -> Finding {
    match read("/proc/sys/kernel/seccomp/actions_avail").contains("errno") {
        true => Fine("there".into()),
        false => Broken("missing".into(), "the kernel is built without CONFIG_SECCOMP_FILTER"),
    }
}

/// Whether an engine answers; none is started for this.
async fn engine(app: &App) -> Finding {
    let Ok(place) = app.place() else {
        return Broken("its address makes no sense".into(), "look at --host, DOCKER_HOST and 'context ls'");
    };
    let shown = place.endpoint.to_string();
    match wharf_client::Client::new(place.endpoint).ping().await {
        Ok(_) => Fine(format!("answers at {shown}")),
        Err(_) if place.on_demand => {
            Fine(format!("none runs; the next command starts one (its log: {DEFAULT_RUN}/engine.log)"))
        }
        Err(error) => Broken(error.chain(), "is it running, and may this user use its socket?"),
    }
}
