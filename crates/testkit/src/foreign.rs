//! Programs of others that tests use, and what happens where they are missing.

use std::path::PathBuf;

/// Set by `cargo xtask test`: it has fetched everything, so a missing program is a failure.
pub const STRICT: &str = "WHARF_TEST_STRICT";

/// Where `program` is on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Where `program` is. Without it a test cannot do its work: it says so and gives `None`, or fails under
/// `cargo xtask test`, which would have fetched it.
///
/// # Panics
/// If the program is missing and [`STRICT`] is set.
pub fn need(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(&format!("{program} is not on the PATH"));
    }
    found
}

/// Says that a test is skipped and why; under `cargo xtask test` that is a failure.
///
/// # Panics
/// If [`STRICT`] is set.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skip(reason: &str) {
    assert!(std::env::var_os(STRICT).is_none(), "nothing may be skipped here, but {reason}");
    eprintln!("SKIPPED: {reason}; 'cargo xtask test' fetches what is missing");
}
