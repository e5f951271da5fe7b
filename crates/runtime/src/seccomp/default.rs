//! The default policy: what a container may ask the kernel, given its capabilities.

use super::policy::{ALLOW, Arch, ArchRules, Compare, ENOSYS, EPERM, Operator, Policy, Rules, Syscall, errno};
use super::table::SYSCALLS;

const SYS_ADMIN: u64 = 1 << 21;

/// All CLONE_NEW* flags: making a namespace needs CAP_SYS_ADMIN.
const NAMESPACES: u64 = 0x7e02_0000;

/// Execution domains that change nothing dangerous: PER_LINUX and PER_LINUX32, each also with UNAME26; 0xffffffff asks
/// for the present one.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The kernel's cryptography by socket: a large attack surface.
const AF_ALG: u64 = 38;
/// Sockets to the hypervisor, which no network namespace contains.
const AF_VSOCK: u64 = 40;

/// What the policy says about a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not mentioned.
    Deny,
    /// Always.
    Allow,
    /// With any of these capabilities.
    With(u64),
    /// On x86 processors.
    OnX86,
    /// On ARM processors.
    OnArm,
    /// Harmless execution domains only.
    Personality,
    /// All address families but AF_ALG and AF_VSOCK.
    Socket,
    /// Without new namespaces, unless with CAP_SYS_ADMIN.
    Clone,
    /// Its flags are out of a filter's sight: as if it did not exist, unless with CAP_SYS_ADMIN.
    Clone3,
}

/// The policy for a process with these capabilities.
pub(super) fn policy(capabilities: u64) -> Policy {
    let arches = Arch::ALL_NATIVE.iter().map(|arch| ArchRules { arch: *arch, rules: rules(*arch, capabilities) });
    Policy { default: errno(EPERM), arches: arches.collect() }
}

fn rules(arch: Arch, capabilities: u64) -> Vec<(u32, Rules)> {
    // Sorted as plain integers, which is much faster than moving rules around: number above, row below.
    let row_at = |(index, row)| Some(u64::from(arch.number(row)?) << 32 | index as u64);
    let mut order: Vec<u64> = SYSCALLS.iter().enumerate().filter_map(row_at).collect();
    order.sort_unstable();
    let rule = |packed: u64| {
        let row: &Syscall = &SYSCALLS[packed as u32 as usize];
        Some(((packed >> 32) as u32, judge(row.verdict, capabilities)?))
    };
    let mut rules = Vec::with_capacity(order.len());
    rules.extend(order.into_iter().filter_map(rule));
    rules
}

fn judge(verdict: Verdict, capabilities: u64) -> Option<Rules> {
    let is_arm = matches!(Arch::NATIVE, Arch::Aarch64);
    let admin = capabilities & SYS_ADMIN != 0;
    match verdict {
        Verdict::Deny => None,
        Verdict::Allow => Some(always()),
        Verdict::With(any) => (capabilities & any != 0).then(always),
        Verdict::OnX86 => (!is_arm).then(always),
        Verdict::OnArm => is_arm.then(always),
        Verdict::Personality => Some(when(PERSONALITIES.map(|value| compare(Operator::Equal, value)).to_vec())),
        Verdict::Socket => Some(when(vec![
            compare(Operator::Less, AF_ALG),
            compare(Operator::Equal, AF_ALG + 1),
            compare(Operator::Greater, AF_VSOCK),
        ])),
        Verdict::Clone | Verdict::Clone3 if admin => Some(always()),
        Verdict::Clone => Some(when(vec![compare(Operator::MaskedEqual(NAMESPACES), 0)])),
        Verdict::Clone3 => Some(Rules { conditional: Vec::new(), otherwise: Some(errno(ENOSYS)) }),
    }
}

fn always() -> Rules {
    Rules { conditional: Vec::new(), otherwise: Some(ALLOW) }
}

/// Allowed when any of the conditions holds.
fn when(any: Vec<Compare>) -> Rules {
    Rules { conditional: any.into_iter().map(|one| (vec![one], ALLOW)).collect(), otherwise: None }
}

fn compare(operator: Operator, value: u64) -> Compare {
    Compare { index: 0, operator, value }
}
