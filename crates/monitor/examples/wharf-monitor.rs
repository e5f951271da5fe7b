//! The monitor alone, as the tests of this crate run it; the real one is a face of the `wharf` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf_monitor::main()
}
