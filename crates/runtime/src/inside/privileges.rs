//! Taking away what the program may not do: limits, capabilities, user, system calls.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use wharf_sys::capability::{self, Sets};
use wharf_sys::scheduling::{self, Scheduling};
use wharf_sys::seccomp::Manner;
use wharf_types::{Error, Result, ResultExt};

use super::user::Identity;
use crate::channel::Newborn;
use crate::seccomp::Filter;
use crate::spec::{Process, Seccomp};
use crate::{capabilities, seccomp};

const SYS_ADMIN: u64 = 1 << 21;

/// Resource limit names in the order of the kernel's numbers (asm-generic/resource.h).
const LIMITS: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// What needs the host's /proc: the out-of-memory adjustment and the security labels. Comes before the host is left.
pub(crate) fn set_while_on_host(process: &Process) -> Result<()> {
    if let Some(adjustment) = process.oom_score_adj {
        set_oom_score(adjustment.clamp(-1000, 1000)).context("cannot set oom_score_adj")?;
    }
    if let Some(profile) = process.apparmor_profile.as_ref().filter(|_| has_apparmor()) {
        let dedicated = "/proc/self/attr/apparmor/exec";
        let path = if fs::exists(dedicated).unwrap_or(false) { dedicated } else { "/proc/self/attr/exec" };
        fs::write(path, format!("exec {profile}"))
            .with_context(|| format!("cannot take on AppArmor profile {profile:?}"))?;
    }
    if let Some(label) = process.selinux_label.as_ref().filter(|_| has_selinux()) {
        fs::write("/proc/self/attr/exec", label).with_context(|| format!("cannot take on SELinux label {label:?}"))?;
    }
    Ok(())
}

/// Whether the kernel has AppArmor, and it is on.
pub fn has_apparmor() -> bool {
    fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether SELinux is on: its file system is mounted.
pub fn has_selinux() -> bool {
    fs::exists("/sys/fs/selinux/enforce").unwrap_or(false)
}

/// Without CAP_SYS_RESOURCE the value cannot go below the present one, which is then kept.
fn set_oom_score(adjustment: i32) -> io::Result<()> {
    const PATH: &str = "/proc/self/oom_score_adj";
    match fs::write(PATH, adjustment.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let present: i32 = fs::read_to_string(PATH)?.trim().parse().unwrap_or(0);
            if adjustment < present { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

/// Sets the resource limits. A hard limit that this host does not let one raise stays where it is.
pub(super) fn set_limits(process: &Process) -> Result<()> {
    for (name, &(soft, hard)) in &process.rlimits {
        let number = LIMITS.iter().position(|known| known == name);
        let number = number.ok_or_else(|| Error::invalid(format!("invalid ulimit type: {name}")))? as u32;
        if soft > hard {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        let result = match wharf_sys::process::set_resource_limit(number, soft, hard) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let (_, highest) = wharf_sys::process::resource_limit(number)?;
                wharf_sys::process::set_resource_limit(number, soft.min(highest), hard.min(highest))
            }
            other => other,
        };
        result.with_context(|| format!("cannot set ulimit {name}"))?;
    }
    Ok(())
}

/// How the process is scheduled, on processors and disks.
pub(super) fn set_scheduling(process: &Process) -> Result<()> {
    if let Some(wanted) = &process.scheduling {
        let (runtime, deadline, period) = wanted.deadline;
        let scheduling = Scheduling {
            policy: wanted.policy,
            flags: wanted.flags,
            nice: wanted.nice,
            priority: wanted.priority,
            runtime,
            deadline,
            period,
            ..Scheduling::default()
        };
        scheduling::set_scheduling(scheduling).context("cannot set the scheduler")?;
    }
    if let Some((class, level)) = process.io_priority {
        scheduling::set_io_priority(class, level).context("cannot set the I/O priority")?;
    }
    if !process.processors.is_empty() {
        scheduling::set_processors(&process.processors).context("cannot set the CPU affinity")?;
    }
    match process.personality {
        Some(domain) => scheduling::set_personality(domain).context("cannot set the personality"),
        None => Ok(()),
    }
}

/// The masks of a process's capability sets.
struct Wanted {
    bounding: u64,
    last: Sets,
    ambient: u64,
}

impl Wanted {
    fn of(process: &Process, identity: &Identity, permitted: u64) -> Result<Self> {
        let Some(sets) = &process.sets else {
            let bounding = capabilities::mask(&process.capabilities)?;
            let kept = if identity.uid == 0 { bounding & permitted } else { 0 };
            return Ok(Self { bounding, last: Sets { effective: kept, permitted: kept, inheritable: 0 }, ambient: 0 });
        };
        let mask = |names: &[String]| Ok::<_, Error>(capabilities::mask(names)? & permitted);
        let last = Sets {
            effective: mask(&sets.effective)?,
            permitted: mask(&sets.permitted)?,
            inheritable: mask(&sets.inheritable)?,
        };
        let ambient = mask(&sets.ambient)? & last.permitted & last.inheritable;
        Ok(Self { bounding: capabilities::mask(&sets.bounding)?, last, ambient })
    }
}

/// Becomes the user with the capabilities and the filter of the process. After this only execve should follow.
///
/// With `ends_with_parent` it is killed when its parent ends. The filter comes last, so that it has to allow nothing of what the runtime itself does, but for capset and, where calls
/// are notified of, sendmsg to `channel`.
pub(super) fn confine(
    process: &Process,
    identity: &Identity,
    channel: Option<&Newborn>,
    ends_with_parent: bool,
) -> Result<()> {
    let permitted = capability::get().context("cannot read the capabilities")?.permitted;
    let Wanted { bounding, last, ambient } = Wanted::of(process, identity, permitted)?;
    let filter = compile(process)?;
    drop_bounding(bounding)?;
    become_user(identity)?;
    if ends_with_parent {
        // A change of user would take it back.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(io::Error::from)
            .context("cannot tie the program to its init")?;
    }
    if process.no_new_privileges {
        set_no_new_privs(true).map_err(io::Error::from).context("cannot set no_new_privs")?;
    }
    let Some(Filter { instructions, manner }) = filter else {
        set_capabilities(last)?;
        return raise_ambient(ambient);
    };
    if ambient != 0 {
        // Changing users took it away; it holds from here on, whatever is dropped below.
        set_capabilities(Sets { effective: permitted, permitted, inheritable: last.inheritable })?;
        raise_ambient(ambient)?;
    }
    if !process.no_new_privileges {
        let kept = last.permitted | SYS_ADMIN & permitted;
        set_capabilities(Sets { effective: kept, permitted: kept, inheritable: last.inheritable })?;
    }
    let listener = wharf_sys::seccomp::install(&instructions, manner).context("cannot install the seccomp filter")?;
    if let Some((listener, channel)) = listener.zip(channel) {
        channel.send_listener(&listener)?;
    }
    set_capabilities(last)
}

fn raise_ambient(mask: u64) -> Result<()> {
    for number in (0..64).filter(|number| mask & 1 << number != 0) {
        capability::raise_ambient(number).context("cannot raise an ambient capability")?;
    }
    Ok(())
}

fn compile(process: &Process) -> Result<Option<Filter>> {
    let bounding = match &process.sets {
        Some(sets) => capabilities::mask(&sets.bounding)?,
        None => capabilities::mask(&process.capabilities)?,
    };
    match &process.seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => {
            let instructions = seccomp::default_filter(bounding)?;
            Ok(Some(Filter { instructions, manner: Manner::default() }))
        }
        Seccomp::Compiled(filter) => {
            Ok(Some(Filter { instructions: filter.instructions()?, manner: Manner::default() }))
        }
        Seccomp::Profile(json) => seccomp::Profile::parse(json)?.compile(bounding).map(Some),
    }
}

fn set_capabilities(sets: Sets) -> Result<()> {
    capability::set(sets).context("cannot set the capabilities")
}

fn drop_bounding(keep: u64) -> Result<()> {
    for number in 0..64 {
        if keep & 1 << number != 0 {
            continue;
        }
        match capability::drop_bounding(number) {
            Ok(()) => {}
            // Beyond the last one that the kernel knows.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error).context("cannot drop capabilities"),
        }
    }
    match capability::clear_ambient() {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error).context("cannot drop capabilities"),
        _ => Ok(()),
    }
}

fn become_user(identity: &Identity) -> Result<()> {
    capability::keep_over_user_change(true).context("cannot keep capabilities")?;
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let become_it = || -> rustix::io::Result<()> {
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    become_it()
        .map_err(io::Error::from)
        .with_context(|| format!("cannot become user {}:{}", identity.uid, identity.gid))?;
    capability::keep_over_user_change(false).context("cannot keep capabilities")
}
