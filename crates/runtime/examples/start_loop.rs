//! Times the start of a container that runs `true`, step by step, against the least that a fork in new namespaces costs.
//!
//! `cargo run --release -p wharf-runtime --example start_loop -- ROUNDS`; needs root and /bin/busybox.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a measuring program

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use wharf_runtime::cgroup::Group;
use wharf_runtime::spec::{Cgroup, ContainerSpec, Namespace, Namespaces, Process, Propagation, RootFs};
use wharf_runtime::{Starting, Stdio, capabilities, exec, paths};
use wharf_sys::process::{clone_process, execute, namespace};

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let folder = std::env::temp_dir().join(format!("start-loop-{}", std::process::id()));
    make_image(&folder);
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let capabilities = capabilities::mask(&capabilities::DEFAULT_CAPABILITIES).unwrap();
    for round in 0..rounds {
        let compiling = Instant::now();
        let filter = wharf_runtime::seccomp::default_filter(capabilities).unwrap();
        times.entry("9 compile the default filter").or_default().push(compiling.elapsed());
        assert!(filter.len() < 1000, "{} instructions", filter.len());
        let started = Instant::now();
        floor(&folder);
        times.entry("0 floor: clone, overlay, pivot-free exec, wait").or_default().push(started.elapsed());
        container(&folder, round, &mut times);
    }
    for (name, mut times) in times {
        times.sort();
        let at = |part: usize| times[times.len() * part / 100].as_micros();
        println!("{:>7} µs median {:>7} µs p10 {:>7} µs p90  {name}", at(50), at(10), at(90));
    }
    fs::remove_dir_all(&folder).unwrap();
    Group::open("start-loop").and_then(|group| group.remove()).unwrap();
}

fn make_image(folder: &Path) {
    for name in ["image/bin", "image/etc", "upper", "work"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", folder.join("image/bin/busybox")).unwrap();
    for name in ["true", "sleep"] {
        symlink("busybox", folder.join("image/bin").join(name)).unwrap();
    }
}

/// What any runtime has to do at least: new namespaces, an overlay, an exec.
fn floor(folder: &Path) {
    let flags = namespace::PID | namespace::MOUNT | namespace::IPC | namespace::UTS;
    let child = || {
        use rustix::mount::{
            FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
        };
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        for (name, value) in [("lowerdir", "image"), ("upperdir", "upper"), ("workdir", "work")] {
            fsconfig_set_string(&context, name, folder.join(value)).unwrap();
        }
        fsconfig_create(&context).unwrap();
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
        rustix::process::fchdir(&mount).unwrap();
        execute(&c"bin/busybox".into(), &[c"true".into()], &[]);
        1
    };
    let (pid, pidfd) = clone_process(flags, None, child).unwrap();
    // Without this the exit would wait for the overlay's upper file system to be written to disk.
    let _mounts = File::open(format!("/proc/{pid}/ns/mnt")).unwrap();
    let id = rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd));
    rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
}

fn container(folder: &Path, round: usize, times: &mut BTreeMap<&str, Vec<Duration>>) {
    let mut note = |name, since: Instant| times.entry(name).or_default().push(since.elapsed());
    let spec = specification(folder, round);
    let all = Instant::now();
    let starting = Starting::begin(&spec, stdio()).unwrap();
    note("1 begin", all);
    let step = Instant::now();
    let init = starting.release().unwrap();
    note("2 release", step);
    note("3 begin and release", all);
    let running = Instant::now();
    let child = exec::spawn(init.child.pidfd(), &process("true"), stdio(), &init.cgroup).unwrap();
    note("4 exec until it runs", running);
    child.wait().unwrap();
    note("5 exec with wait", running);
    let step = Instant::now();
    init.child.kill(9).unwrap();
    init.child.wait().unwrap();
    note("6 kill and wait", step);
    let step = Instant::now();
    init.cgroup.remove().unwrap();
    note("7 remove the cgroup", step);
    let step = Instant::now();
    drop(init.mounts);
    note("8 let go of the mounts", step);
}

fn stdio() -> Stdio {
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
    Stdio::streams(null(), null(), null())
}

fn process(argument: &str) -> Process {
    Process {
        argv: [argument, "60"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        capabilities: capabilities::DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
        ..Process::default()
    }
}

fn specification(folder: &Path, round: usize) -> ContainerSpec {
    let id = format!("start-loop-{}-{round}", std::process::id());
    ContainerSpec {
        root: RootFs::Overlay {
            lower: vec![folder.join("image")],
            upper: folder.join("upper"),
            work: folder.join("work"),
            volatile: false,
        },
        readonly_root: false,
        mounts: Vec::new(),
        shm_size: 64 << 20,
        process: process("sleep"),
        namespaces: Namespaces { cgroup: Namespace::New, network: Namespace::Host, ..Namespaces::default() },
        hostname: "loop".to_owned(),
        domainname: None,
        cgroup: Cgroup { path: format!("/start-loop/engine/{id}"), ..Cgroup::default() },
        devices: Vec::new(),
        device_rules: Vec::new(),
        sysctls: BTreeMap::new(),
        masked_paths: paths::DEFAULT_MASKED_PATHS.map(str::to_owned).to_vec(),
        readonly_paths: paths::DEFAULT_READONLY_PATHS.map(str::to_owned).to_vec(),
        privileged: false,
        root_propagation: Propagation::Rprivate,
        init: false,
        id,
        ..ContainerSpec::default()
    }
}
