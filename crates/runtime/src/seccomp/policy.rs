//! What a filter decides, before it is compiled.

use super::default::Verdict;
use super::table::SYSCALLS;

/// A filter's return value (seccomp(2), SECCOMP_RET_*).
pub(super) type Action = u32;

pub(super) const ALLOW: Action = 0x7fff_0000;
pub(super) const LOG: Action = 0x7ffc_0000;
pub(super) const NOTIFY: Action = 0x7fc0_0000;
pub(super) const TRACE: Action = 0x7ff0_0000;
pub(super) const TRAP: Action = 0x0003_0000;
pub(super) const KILL_PROCESS: Action = 0x8000_0000;
pub(super) const KILL_THREAD: Action = 0;

pub(super) const EPERM: u16 = 1;
pub(super) const ENOSYS: u16 = 38;

/// Fail with an error number.
pub(super) const fn errno(number: u16) -> Action {
    0x0005_0000 | number as u32
}

/// The error number of [`errno`].
pub(super) fn errno_of(action: Action) -> Option<u16> {
    (action & 0xffff_0000 == errno(0)).then_some(action as u16)
}

/// A system call on all processors.
pub(super) struct Syscall {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// By [`Arch`]; negative where there is none.
    pub(super) numbers: [i32; 5],
}

/// A calling convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Arch {
    /// This processor's.
    pub(super) const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// This processor's, and the narrower ones that it runs as well.
    pub(super) const ALL_NATIVE: &[Self] =
        if cfg!(target_arch = "aarch64") { &[Self::Aarch64, Self::Arm] } else { &[Self::X86_64, Self::X86, Self::X32] };

    /// The kernel's number for it (linux/audit.h). x32 has that of x86_64.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are 64 bits wide.
    pub(super) fn is_wide(self) -> bool {
        !matches!(self, Self::X86 | Self::Arm)
    }

    /// The number of a system call, as a program passes it but without x32's bit.
    pub(super) fn number(self, syscall: &Syscall) -> Option<u32> {
        u32::try_from(syscall.numbers[self as usize]).ok()
    }
}

/// The system call of that name, if any of our processors has it.
pub(super) fn find(name: &str) -> Option<&'static Syscall> {
    SYSCALLS.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| &SYSCALLS[index])
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal after the argument was masked with this.
    MaskedEqual(u64),
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compare {
    pub(super) index: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
}

/// What is said about one system call: the first row all of whose conditions hold, or else `otherwise`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) conditional: Vec<(Vec<Compare>, Action)>,
    /// `None` is the policy's default.
    pub(super) otherwise: Option<Action>,
}

/// The rules of one calling convention.
#[derive(Debug, Clone)]
pub(super) struct ArchRules {
    pub(super) arch: Arch,
    /// Sorted by number, each once.
    pub(super) rules: Vec<(u32, Rules)>,
}

/// A whole policy.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// What happens to calls that are not mentioned.
    pub(super) default: Action,
    pub(super) arches: Vec<ArchRules>,
}

impl ArchRules {
    /// The highest number that the policy mentions. What is beyond is newer than the policy, and does not exist as far as
    /// the program is concerned: that way it falls back to what it did before.
    pub(super) fn newest(&self) -> u32 {
        self.rules.last().map_or(0, |(number, _)| *number)
    }
}
