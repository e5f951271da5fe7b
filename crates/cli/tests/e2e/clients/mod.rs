//! Programs of others, unmodified: what people drive containers with must not notice whose engine it is.

mod ansible;
mod bollard;
mod compose;
mod dockerode;
mod python;

use std::path::PathBuf;
use std::process::Command;

use wharf_testkit::subnet::Subnet;
use wharf_testkit::{Options, TempEngine, foreign};

/// An engine whose networks, which these programs make without naming a subnet, collide with nobody's.
struct Host {
    engine: TempEngine,
    _pool: Subnet,
}

impl Host {
    fn start() -> Self {
        let pool = Subnet::take();
        let arguments = vec!["--default-address-pool".to_owned(), format!("base={},size=28", pool.cidr())];
        let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
        Self { engine, _pool: pool }
    }

    /// A program that finds the engine where Docker's would be found, and nothing of the person who runs the test.
    fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.env("HOME", self.engine.scratch()).env("DOCKER_HOST", self.engine.host());
        command.current_dir(self.engine.scratch());
        command
    }

    /// Puts a file where the program runs.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.engine.scratch().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What `cargo xtask test` has fetched and named in a variable.
fn fetched(variable: &str, what: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        foreign::skip(&format!("{what} is not there ({variable} is not set)"));
    }
    found
}
