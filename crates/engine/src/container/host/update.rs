//! Limits that are changed while the container exists.

use wharf_api::container::{Resources as Wanted, RestartPolicyName, UpdateRequest};
use wharf_runtime::spec::Resources;
use wharf_types::{Error, Result};

use super::{Abilities, rules};
use crate::container::limits;
use crate::container::record::Record;

/// Checks a change against what the container has; sentences for the person.
///
/// # Errors
/// `InvalidParameter`, and `Conflict` with what was set before.
pub fn check(record: &Record, request: &mut UpdateRequest) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let able = Abilities::of_this_host();
    rules::resources(&mut request.resources, able, &mut warnings, true)?;
    let (new, old) = (&request.resources, &record.host_config.resources);
    let conflict = |text: &str| Err(Error::conflict(text));
    if record.auto_remove() && !matches!(request.restart_policy.name, RestartPolicyName::Unset | RestartPolicyName::No)
    {
        return conflict("Restart policy cannot be updated because AutoRemove is enabled for the container");
    }
    match () {
        () if new.nano_cpus > 0 && old.cpu_period > 0 => {
            conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
        }
        () if new.nano_cpus > 0 && old.cpu_quota > 0 => {
            conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
        }
        () if new.cpu_period > 0 && old.nano_cpus > 0 => {
            conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
        }
        () if new.cpu_quota > 0 && old.nano_cpus > 0 => {
            conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
        }
        () if new.memory_swap == 0 && old.memory_swap > 0 && new.memory > old.memory_swap => conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ),
        () => Ok(warnings),
    }
}

/// What changes in the cgroup: only what the request names.
///
/// # Errors
/// Those of [`limits::resources`].
pub fn resources(wanted: &Wanted) -> Result<Resources> {
    Ok(Resources {
        memory_swap: Some(wanted.memory_swap).filter(|swap| *swap != 0),
        pids: wanted.pids_limit.map(|limit| if limit > 0 { limit } else { -1 }),
        ..limits::resources(wanted)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_only_what_changes() {
        let wanted = Wanted { memory: 64 << 20, pids_limit: Some(0), cpu_quota: -1, ..Wanted::default() };
        let changes = resources(&wanted).unwrap();
        assert_eq!((changes.memory, changes.memory_swap), (Some(64 << 20), None));
        assert_eq!((changes.pids, changes.cpu_quota), (Some(-1), Some(-1)));
    }
}
