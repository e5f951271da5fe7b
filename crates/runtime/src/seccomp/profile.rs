//! Profiles in Docker's JSON format.

use serde::Deserialize;
use wharf_sys::seccomp::{Instruction, Manner};
use wharf_types::{Error, Result};

use super::policy::{
    ALLOW, Action, Arch, ArchRules, Compare, EPERM, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, Operator, Policy, Rules,
    TRACE, TRAP, errno, find,
};
use super::{Filter, compile};
use crate::capabilities;

/// A parsed profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    syscalls: Option<Vec<Entry>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Context>,
    #[serde(default)]
    excludes: Option<Context>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

impl Profile {
    /// Parses the JSON text.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| Error::invalid("invalid seccomp profile").caused_by(error))
    }

    /// The profile's filter for a process whose bounding set is `capabilities`, on this host.
    pub fn filter(&self, capabilities: u64) -> Result<Vec<Instruction>> {
        compile::compile(&self.policy(capabilities, kernel_version())?)
    }

    /// The profile's filter and its flags, as [`Profile::filter`].
    pub fn compile(&self, capabilities: u64) -> Result<Filter> {
        let mut manner = Manner::default();
        for flag in self.flags.iter().flatten() {
            match flag.as_str() {
                // There is one thread when the filter is installed.
                "SECCOMP_FILTER_FLAG_TSYNC" => {}
                "SECCOMP_FILTER_FLAG_LOG" => manner.log = true,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => manner.allow_speculation = true,
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => manner.wait_killable = true,
                other => return Err(Error::invalid(format!("seccomp profile: unknown flag {other:?}"))),
            }
        }
        let notifies = |entry: &&Entry| entry.action == "SCMP_ACT_NOTIFY";
        if self.default_action == "SCMP_ACT_NOTIFY" {
            return Err(Error::invalid("seccomp profile: SCMP_ACT_NOTIFY cannot be the default action"));
        }
        for entry in self.syscalls.iter().flatten().filter(notifies) {
            if entry.names.iter().flatten().chain(&entry.name).any(|name| name == "sendmsg") {
                return Err(Error::invalid("seccomp profile: SCMP_ACT_NOTIFY cannot be used for sendmsg")
                    .with_hint("the listener's descriptor is handed over by that call"));
            }
            manner.notify = true;
        }
        if manner.notify && self.listener().is_none() {
            return Err(Error::invalid("the seccomp profile notifies, but names no listenerPath"));
        }
        manner.wait_killable &= manner.notify;
        Ok(Filter { instructions: self.filter(capabilities)?, manner })
    }

    /// Who decides about calls that are notified of: the socket's path, and what it is to be told.
    pub fn listener(&self) -> Option<(String, String)> {
        let path = self.listener_path.clone().filter(|path| !path.is_empty())?;
        Some((path, self.listener_metadata.clone().unwrap_or_default()))
    }

    pub(super) fn policy(&self, capabilities: u64, kernel: (u32, u32)) -> Result<Policy> {
        let default = action(&self.default_action, self.default_errno_ret)?;
        let mut arches: Vec<ArchRules> =
            self.arches().into_iter().map(|arch| ArchRules { arch, rules: Vec::new() }).collect();
        for entry in self.syscalls.iter().flatten() {
            if entry.applies(capabilities, kernel)? {
                entry.add_to(&mut arches, default)?;
            }
        }
        for rules in &mut arches {
            rules.rules.sort_by_key(|(number, _)| *number);
        }
        Ok(Policy { default, arches })
    }

    /// This processor's own calling convention and those that the profile names beside it.
    fn arches(&self) -> Vec<Arch> {
        let named = |arch: &Arch, names: &[String]| names.iter().any(|name| name == seccomp_name(*arch));
        let map = self.arch_map.iter().flatten().find(|map| map.architecture == seccomp_name(Arch::NATIVE));
        let names = match (map, &self.architectures) {
            (Some(map), _) => map.sub_architectures.clone().unwrap_or_default(),
            (None, Some(list)) => list.clone(),
            (None, None) => Vec::new(),
        };
        Arch::ALL_NATIVE.iter().copied().filter(|arch| *arch == Arch::NATIVE || named(arch, &names)).collect()
    }
}

impl Entry {
    fn applies(&self, capabilities: u64, kernel: (u32, u32)) -> Result<bool> {
        let (none, here) = (Context::default(), go_name(Arch::NATIVE));
        let includes = self.includes.as_ref().unwrap_or(&none);
        let excludes = self.excludes.as_ref().unwrap_or(&none);
        // A capability that this version does not know is one that nobody has.
        let has = |name: &String| capabilities::number(name).is_some_and(|number| capabilities & 1 << number != 0);
        let lists = |filter: &Context| filter.arches.iter().flatten().any(|arch| arch == here);
        let old_enough = |filter: &Context| -> Result<Option<bool>> {
            let version = filter.min_kernel.as_deref().map(version).transpose()?;
            Ok(version.map(|version| kernel >= version))
        };
        let included = includes.caps.iter().flatten().all(has)
            && (includes.arches.as_ref().is_none_or(Vec::is_empty) || lists(includes))
            && old_enough(includes)?.unwrap_or(true);
        let excluded =
            excludes.caps.iter().flatten().any(has) || lists(excludes) || old_enough(excludes)?.unwrap_or(false);
        Ok(included && !excluded)
    }

    fn add_to(&self, arches: &mut [ArchRules], default: Action) -> Result<()> {
        let action = action(&self.action, self.errno_ret)?;
        if action == default {
            return Ok(());
        }
        let conditions = self.args.iter().flatten().map(Argument::compare).collect::<Result<Vec<_>>>()?;
        // Calls that no processor of ours has are other processors'.
        for syscall in self.names.iter().flatten().chain(&self.name).filter_map(|name| find(name)) {
            for rules in &mut *arches {
                if let Some(number) = rules.arch.number(syscall) {
                    add(&mut rules.rules, number, &conditions, action);
                }
            }
        }
        Ok(())
    }
}

/// What is said first about a call without conditions stays.
fn add(rules: &mut Vec<(u32, Rules)>, number: u32, conditions: &[Compare], action: Action) {
    let index = match rules.iter().position(|(known, _)| *known == number) {
        Some(index) => index,
        None => {
            rules.push((number, Rules::default()));
            rules.len() - 1
        }
    };
    let rule = &mut rules[index].1;
    if conditions.is_empty() {
        rule.otherwise.get_or_insert(action);
    } else {
        rule.conditional.push((conditions.to_vec(), action));
    }
}

impl Argument {
    fn compare(&self) -> Result<Compare> {
        if self.index > 5 {
            return Err(Error::invalid(format!("seccomp profile: there is no argument {}", self.index)));
        }
        let (operator, value) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (Operator::Equal, self.value),
            "SCMP_CMP_NE" => (Operator::NotEqual, self.value),
            "SCMP_CMP_LT" => (Operator::Less, self.value),
            "SCMP_CMP_LE" => (Operator::LessOrEqual, self.value),
            "SCMP_CMP_GT" => (Operator::Greater, self.value),
            "SCMP_CMP_GE" => (Operator::GreaterOrEqual, self.value),
            "SCMP_CMP_MASKED_EQ" => (Operator::MaskedEqual(self.value), self.value_two),
            other => return Err(Error::invalid(format!("seccomp profile: unknown operator {other:?}"))),
        };
        Ok(Compare { index: self.index, operator, value })
    }
}

fn action(name: &str, number: Option<u16>) -> Result<Action> {
    match name {
        "SCMP_ACT_ALLOW" => Ok(ALLOW),
        "SCMP_ACT_ERRNO" => Ok(errno(number.unwrap_or(EPERM))),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Ok(KILL_THREAD),
        "SCMP_ACT_KILL_PROCESS" => Ok(KILL_PROCESS),
        "SCMP_ACT_TRAP" => Ok(TRAP),
        "SCMP_ACT_TRACE" => Ok(TRACE | u32::from(number.unwrap_or(EPERM))),
        "SCMP_ACT_LOG" => Ok(LOG),
        "SCMP_ACT_NOTIFY" => Ok(NOTIFY),
        other => Err(Error::invalid(format!("seccomp profile: unsupported action {other:?}"))),
    }
}

fn seccomp_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "SCMP_ARCH_X86_64",
        Arch::X86 => "SCMP_ARCH_X86",
        Arch::X32 => "SCMP_ARCH_X32",
        Arch::Aarch64 => "SCMP_ARCH_AARCH64",
        Arch::Arm => "SCMP_ARCH_ARM",
    }
}

fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "arm64",
        _ => "amd64",
    }
}

fn version(text: &str) -> Result<(u32, u32)> {
    let number = |text: &str| -> Option<u32> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    let mut parts = text.split('.');
    let version = parts.next().and_then(number).zip(parts.next().and_then(number));
    version.ok_or_else(|| Error::invalid(format!("seccomp profile: invalid kernel version {text:?}")))
}

fn kernel_version() -> (u32, u32) {
    let name = rustix::system::uname();
    name.release().to_str().ok().and_then(|release| version(release).ok()).unwrap_or((0, 0))
}

#[cfg(test)]
mod tests;
