//! System call filters: Docker's policies compiled to the kernel's classic BPF.

mod compile;
mod default;
mod policy;
mod profile;
mod table;

#[cfg(test)]
mod interpreter;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wharf_sys::seccomp::{Instruction, Manner};
use wharf_types::{Error, Result};

use crate::capabilities;
use crate::spec::{CompiledFilter, Seccomp};

pub use profile::Profile;

/// The default policy's filter for a process whose bounding set is `capabilities` (bit n being capability number n).
pub fn default_filter(capabilities: u64) -> Result<Vec<Instruction>> {
    compile::compile(&default::policy(capabilities))
}

/// As [`default_filter`], compiled once in a process and then remembered.
///
/// # Errors
/// None in practice: the default policy fits into what the kernel takes.
pub fn compiled_default(capabilities: u64) -> Result<CompiledFilter> {
    static KNOWN: Mutex<BTreeMap<u64, CompiledFilter>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(filter) = known.get(&capabilities) {
        return Ok(filter.clone());
    }
    let filter = CompiledFilter::encode(&default_filter(capabilities)?);
    // People use a handful of sets; a program that tries them all must not fill the memory.
    if known.len() < 64 {
        known.insert(capabilities, filter.clone());
    }
    Ok(filter)
}

impl Seccomp {
    /// The same policy, with the default one compiled for a process that has these capabilities: it costs the process
    /// nothing then.
    ///
    /// # Errors
    /// `InvalidParameter` for an unknown capability.
    pub fn precompiled(self, capabilities: &[String]) -> Result<Self> {
        match self {
            Self::Default => compiled_default(capabilities::mask(capabilities)?).map(Self::Compiled),
            other => Ok(other),
        }
    }
}

impl CompiledFilter {
    fn encode(instructions: &[Instruction]) -> Self {
        let mut text = String::with_capacity(16 * instructions.len());
        for Instruction { code, jt, jf, k } in instructions {
            let word = u64::from(*code) << 48 | u64::from(*jt) << 40 | u64::from(*jf) << 32 | u64::from(*k);
            for nibble in (0..16).rev() {
                text.push(char::from(b"0123456789abcdef"[(word >> (4 * nibble) & 0xf) as usize]));
            }
        }
        Self(text.into())
    }

    /// The filter's instructions.
    ///
    /// # Errors
    /// `InvalidParameter` for a text that is none.
    pub fn instructions(&self) -> Result<Vec<Instruction>> {
        let instruction = |digits: &[u8]| {
            let word = digits
                .iter()
                .try_fold(0_u64, |word, digit| Some(word << 4 | u64::from(char::from(*digit).to_digit(16)?)))?;
            let [code_high, code_low, jt, jf, k @ ..] = word.to_be_bytes();
            Some(Instruction { code: u16::from_be_bytes([code_high, code_low]), jt, jf, k: u32::from_be_bytes(k) })
        };
        let whole = self.0.len().is_multiple_of(16);
        let all: Option<Vec<_>> = self.0.as_bytes().chunks(16).map(instruction).collect();
        all.filter(|_| whole).ok_or_else(|| Error::invalid("the compiled system call filter is damaged"))
    }
}

/// A compiled filter and how it is to be installed.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The program.
    pub instructions: Vec<Instruction>,
    /// Flags.
    pub manner: Manner,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_remembered_is_the_same_filter() {
        let plain = default_filter(0xa804_25fb).unwrap();
        assert_eq!(compiled_default(0xa804_25fb).unwrap().instructions().unwrap(), plain);
        assert_eq!(compiled_default(0xa804_25fb).unwrap(), compiled_default(0xa804_25fb).unwrap());
        assert!(CompiledFilter("00".into()).instructions().is_err());
        assert!(CompiledFilter("zz00000000000000".into()).instructions().is_err());
    }
}
