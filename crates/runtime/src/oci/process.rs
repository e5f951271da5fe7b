//! Processes of a bundle and of an exec.

use std::collections::BTreeMap;

use serde_json::Value;
use wharf_types::{Error, Result};

use super::config::{self, Personality};
use crate::capabilities;
use crate::spec::{CapabilitySets, Process, Scheduling, Seccomp};

/// The process, with the system call filter of the container.
pub(super) fn process(wanted: &config::Process, seccomp: Option<&Value>) -> Result<Process> {
    if wanted.args.is_empty() {
        return Err(Error::invalid("args must not be empty").with_hint("name the program in process.args"));
    }
    if !wanted.cwd.starts_with('/') {
        return Err(Error::invalid(format!("cwd must be an absolute path: {:?}", wanted.cwd)));
    }
    check_labels(wanted)?;
    let seccomp = match seccomp {
        Some(profile) => Seccomp::Profile(profile.to_string()),
        None => Seccomp::Unconfined,
    };
    Ok(Process {
        argv: wanted.args.clone(),
        env: wanted.env.clone(),
        cwd: wanted.cwd.clone(),
        user: format!("{}:{}", wanted.user.uid, wanted.user.gid),
        additional_groups: wanted.user.additional_gids.iter().map(u32::to_string).collect(),
        umask: wanted.user.umask,
        tty: wanted.terminal,
        tty_size: wanted.console_size.as_ref().map(|size| (size.height, size.width)).filter(|size| *size != (0, 0)),
        no_new_privileges: wanted.no_new_privileges,
        seccomp,
        rlimits: rlimits(&wanted.rlimits)?,
        oom_score_adj: wanted.oom_score_adj,
        apparmor_profile: Some(wanted.apparmor_profile.clone()).filter(|profile| !profile.is_empty()),
        selinux_label: Some(wanted.selinux_label.clone()).filter(|label| !label.is_empty()),
        sets: Some(wanted.capabilities.as_ref().map_or_else(CapabilitySets::default, known)),
        scheduling: wanted.scheduler.as_ref().map(scheduling).transpose()?,
        io_priority: wanted.io_priority.as_ref().map(io_priority).transpose()?,
        processors: match wanted.exec_cpu_affinity.as_ref().map(|affinity| affinity.last.as_str()) {
            None | Some("") => Vec::new(),
            Some(list) => processors(list)?,
        },
        ..Process::default()
    })
}

/// A label that cannot be had is an error, not a container without it.
fn check_labels(wanted: &config::Process) -> Result<()> {
    if !wanted.apparmor_profile.is_empty() && wanted.apparmor_profile != "unconfined" && !crate::has_apparmor() {
        return Err(Error::invalid("apparmor profile specified but apparmor is not enabled on this host"));
    }
    if !wanted.selinux_label.is_empty() && !crate::has_selinux() {
        return Err(Error::invalid("selinux label is specified in config, but selinux is disabled or not supported"));
    }
    Ok(())
}

/// Names that this version does not know are passed over, as the specification asks.
fn known(sets: &CapabilitySets) -> CapabilitySets {
    let keep = |names: &[String]| {
        names.iter().filter(|name| capabilities::number(name).is_some()).cloned().collect::<Vec<_>>()
    };
    CapabilitySets {
        bounding: keep(&sets.bounding),
        effective: keep(&sets.effective),
        permitted: keep(&sets.permitted),
        inheritable: keep(&sets.inheritable),
        ambient: keep(&sets.ambient),
    }
}

fn rlimits(wanted: &[config::Rlimit]) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut limits = BTreeMap::new();
    for limit in wanted {
        let name = limit.kind.strip_prefix("RLIMIT_").map(str::to_ascii_lowercase);
        let name = name.ok_or_else(|| Error::invalid(format!("invalid rlimit type: {}", limit.kind)))?;
        if limits.insert(name, (limit.soft, limit.hard)).is_some() {
            return Err(Error::invalid(format!("rlimit {} is listed twice", limit.kind)));
        }
    }
    Ok(limits)
}

pub(super) fn personality(wanted: &Personality) -> Result<u32> {
    if wanted.flags.as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Error::not_implemented("personality flags are not supported"));
    }
    match wanted.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(Error::invalid(format!("invalid personality domain {other:?}"))),
    }
}

fn scheduling(wanted: &config::Scheduler) -> Result<Scheduling> {
    let invalid = |what: &str, name: &str| Error::invalid(format!("invalid scheduler {what}: {name:?}"));
    let policy = match wanted.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(invalid("policy", other)),
    };
    let mut flags = 0;
    for flag in wanted.flags.iter().flatten() {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(invalid("flag", other)),
        };
    }
    let priority = u32::try_from(wanted.priority).map_err(|_| invalid("priority", &wanted.priority.to_string()))?;
    let deadline = (wanted.runtime, wanted.deadline, wanted.period);
    Ok(Scheduling { policy, flags, nice: wanted.nice, priority, deadline })
}

fn io_priority(wanted: &config::IoPriority) -> Result<(u8, u8)> {
    let class = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(Error::invalid(format!("invalid ioPriority class {other:?}"))),
    };
    if wanted.priority > 7 {
        return Err(Error::invalid(format!("invalid ioPriority.priority: {}", wanted.priority)));
    }
    Ok((class, wanted.priority))
}

/// A list such as `0-2,5`.
pub(super) fn processors(list: &str) -> Result<Vec<usize>> {
    let invalid = || Error::invalid(format!("invalid list of processors: {list:?}"));
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < 1024).ok_or_else(invalid);
    let mut all = Vec::new();
    for part in list.split(',') {
        match part.split_once('-') {
            Some((first, last)) => all.extend(number(first)?..=number(last)?),
            None => all.push(number(part)?),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_refused() {
        let with = |json: &str| process(&serde_json::from_str(json).unwrap(), None);
        assert!(with(r#"{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}]}"#).is_ok());
        for bad in [
            r#"{"cwd":"/"}"#,
            r#"{"args":["a"],"cwd":"x"}"#,
            r#"{"args":["a"],"cwd":"/","rlimits":[{"type":"NOFILE"}]}"#,
            r#"{"args":["a"],"cwd":"/","ioPriority":{"class":"X"}}"#,
            r#"{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_NONE"}}"#,
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert_eq!(processors("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert!(processors("a").is_err() && processors("0-99999999").is_err());
    }
}
