//! Taking away what the program may not do: limits, capabilities, user, system calls.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use wharf_sys::capability::{self, Sets};
use wharf_types::{Error, Result, ResultExt};

use super::user::Identity;
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
    if let Some(profile) = &process.apparmor_profile
        && fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
    {
        let dedicated = "/proc/self/attr/apparmor/exec";
        let path = if fs::exists(dedicated).unwrap_or(false) { dedicated } else { "/proc/self/attr/exec" };
        fs::write(path, format!("exec {profile}"))
            .with_context(|| format!("cannot take on AppArmor profile {profile:?}"))?;
    }
    if let Some(label) = &process.selinux_label
        && fs::exists("/sys/fs/selinux/enforce").unwrap_or(false)
    {
        fs::write("/proc/self/attr/exec", label).with_context(|| format!("cannot take on SELinux label {label:?}"))?;
    }
    Ok(())
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

/// Becomes the user with the capabilities and the filter of the process. After this only execve should follow.
///
/// The filter comes last, so that it has to allow nothing of what the runtime itself does, but for capset.
pub(super) fn confine(process: &Process, identity: &Identity) -> Result<()> {
    let bounding = capabilities::mask(&process.capabilities)?;
    let filter = compile(process)?;
    drop_bounding(bounding)?;
    become_user(identity)?;
    let permitted = capability::get().context("cannot read the capabilities")?.permitted;
    let kept = if identity.uid == 0 { bounding & permitted } else { 0 };
    let last = Sets { effective: kept, permitted: kept, inheritable: 0 };
    if process.no_new_privileges {
        set_no_new_privs(true).map_err(io::Error::from).context("cannot set no_new_privs")?;
    } else if filter.is_some() {
        let wide = kept | SYS_ADMIN & permitted;
        set_capabilities(Sets { effective: wide, permitted: wide, inheritable: 0 })?;
    }
    if let Some(filter) = filter {
        wharf_sys::seccomp::install(&filter, false).context("cannot install the seccomp filter")?;
    }
    set_capabilities(last)
}

fn compile(process: &Process) -> Result<Option<Vec<wharf_sys::seccomp::Instruction>>> {
    match &process.seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Ok(Some(seccomp::default_filter(capabilities::mask(&process.capabilities)?)?)),
        Seccomp::Profile(json) => {
            let profile = seccomp::Profile::parse(json)?;
            Ok(Some(profile.filter(capabilities::mask(&process.capabilities)?)?))
        }
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
