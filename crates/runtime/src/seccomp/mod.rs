//! System call filters: Docker's policies compiled to the kernel's classic BPF.

mod compile;
mod default;
mod policy;
mod profile;
mod table;

#[cfg(test)]
mod interpreter;

use wharf_sys::seccomp::Instruction;
use wharf_types::Result;

pub use profile::Profile;

/// The default policy's filter for a process whose bounding set is `capabilities` (bit n being capability number n).
pub fn default_filter(capabilities: u64) -> Result<Vec<Instruction>> {
    compile::compile(&default::policy(capabilities))
}
