//! The monitor alone, as the tests of this crate run it; the real one is a face of the `wharf` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).unwrap_or_default();
    wharf_monitor::main(folder.into())
}
