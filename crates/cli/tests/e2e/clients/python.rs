//! docker-py, the SDK for Python, and Testcontainers, which many test suites start their databases with.

use wharf_testkit::Output;

use super::{Host, fetched};

/// Set by `cargo xtask test` to an interpreter that can import `docker` and `testcontainers`.
const PYTHON: &str = "WHARF_TEST_PYTHON";

fn run(program: &str) {
    let Some(python) = fetched(PYTHON, "docker-py") else { return };
    let host = Host::start();
    let mut command = host.command(&python);
    command.arg("-c").arg(program).env("TESTCONTAINERS_RYUK_DISABLED", "true");
    assert_eq!(Output::of(&mut command, b"").ok().stdout, "done\n");
    host.engine.finish();
}

#[test]
fn docker_py() {
    run(include_str!("docker_py.py"));
}

#[test]
fn testcontainers() {
    run(include_str!("testcontainers.py"));
}
