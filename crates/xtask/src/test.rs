//! `cargo xtask test`: everything that must be true before a change lands, from a fresh clone on a fresh Debian.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use wharf_testkit::census::Machine;
use wharf_testkit::{bucket, foreign};

use crate::cargo::cargo;
use crate::{command, needs, vm};

/// Run every test, fetching first what the tests need.
#[derive(clap::Args, Debug, Default)]
pub struct Arguments {
    /// Only these steps (repeatable)
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
    /// Leave the virtual machine out
    #[arg(long)]
    no_vm: bool,
    /// Passed on to nextest: filters of the tests to run
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// A part of the whole.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// rustfmt
    Format,
    /// Clippy, with warnings as errors
    Lint,
    /// Documentation, with warnings as errors
    Docs,
    /// Licences, sources and advisories of dependencies, where cargo-deny is installed
    Deny,
    /// Tests beside the code and the libraries' own
    Unit,
    /// End to end: the binary, an engine for each test, real containers
    E2e,
    /// The end-to-end tests on cgroup v2, in a virtual machine
    Vm,
}

impl Step {
    const ALL: [Self; 7] = [Self::Format, Self::Lint, Self::Docs, Self::Deny, Self::Unit, Self::E2e, Self::Vm];

    fn run(self, arguments: &Arguments) -> Result<Outcome> {
        match self {
            Self::Format => command::run(&mut cargo("fmt --all --check"))?,
            Self::Lint => command::run(&mut cargo("clippy --workspace --all-targets --quiet -- --deny warnings"))?,
            // Read by people who work on wharf: links to what is private are welcome.
            Self::Docs => {
                let mut docs = cargo("doc --workspace --no-deps --document-private-items --quiet");
                command::run(docs.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links"))?;
            }
            Self::Deny => return deny(),
            Self::Unit => command::run(&mut nextest("--workspace -E not(binary(e2e))", arguments))?,
            Self::E2e => e2e(arguments)?,
            Self::Vm => vm::run(&vm::Arguments::default())?,
        }
        Ok(Outcome::Passed)
    }
}

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(&'static str),
    Failed(String),
}

/// Runs the steps, all of them even when one fails, and closes with a summary.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the tests make containers and so need root");
    let steps: Vec<Step> = Step::ALL
        .into_iter()
        .filter(|step| arguments.only.is_empty() || arguments.only.contains(step))
        .filter(|step| !(arguments.no_vm && *step == Step::Vm))
        .collect();
    let start = Instant::now();
    fetch(&steps)?;
    let mut results = vec![("fetch", Outcome::Passed, start.elapsed())];
    for step in steps {
        let name = format!("{step:?}").to_lowercase();
        println!("\n=== {name} ===");
        let start = Instant::now();
        let outcome = step.run(arguments).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        results.push((name.leak(), outcome, start.elapsed()));
    }
    summary(&results, start.elapsed())
}

fn fetch(steps: &[Step]) -> Result<()> {
    println!("=== fetch: what is missing comes from the package registries ===");
    if steps.contains(&Step::Format) || steps.contains(&Step::Lint) {
        needs::components()?;
    }
    if steps.contains(&Step::Unit) || steps.contains(&Step::E2e) {
        needs::nextest()?;
    }
    if steps.contains(&Step::E2e) {
        needs::install(needs::FOR_TESTS)?;
    }
    if steps.contains(&Step::Vm) {
        needs::install(needs::FOR_VM)?;
    }
    Ok(())
}

/// A full check of the dependencies where the tool is there; building it takes longer than everything else together.
fn deny() -> Result<Outcome> {
    if command::quietly(&mut cargo("deny --version")).is_err() {
        return Ok(Outcome::Skipped("cargo-deny is not installed: cargo install --locked cargo-deny"));
    }
    command::run(&mut cargo("deny check"))?;
    Ok(Outcome::Passed)
}

/// The end-to-end tests, between two counts of everything that an engine could leave on the machine.
fn e2e(arguments: &Arguments) -> Result<()> {
    let (python, moto, buildx) = (needs::docker_py()?, needs::moto()?, needs::buildx()?);
    let modules = needs::dockerode()?;
    let before = Machine::take();
    let mut tests = nextest("--package wharf --test e2e", arguments);
    tests.env(foreign::STRICT, "1").env("WHARF_TEST_PYTHON", python).env(bucket::PROGRAM, moto);
    let result = command::run(tests.env("WHARF_TEST_BUILDX", buildx).env("WHARF_TEST_NODE_MODULES", modules));
    let left = before.since();
    if !left.is_empty() {
        let left = format!("left on the machine:\n  {}", left.join("\n  "));
        return Err(result.err().map_or_else(|| anyhow!(left.clone()), |error| error.context(left.clone())));
    }
    println!("census: the machine is as it was before the end-to-end tests");
    result
}

fn nextest(line: &str, arguments: &Arguments) -> std::process::Command {
    let mut command = cargo(&format!("nextest run --no-tests pass {line}"));
    command.args(&arguments.nextest);
    command
}

fn summary(results: &[(&str, Outcome, Duration)], whole: Duration) -> Result<()> {
    println!("\n=== summary ===");
    for (name, outcome, time) in results {
        let (word, why) = match outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Skipped(why) => ("skipped", *why),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
        };
        println!("{name:<8} {word:<8} {:>5.0} s  {why}", time.as_secs_f64());
    }
    println!("in all {:.0} s", whole.as_secs_f64());
    let failed = results.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count();
    match failed {
        0 => Ok(()),
        1 => bail!("one step has failed"),
        _ => bail!("{failed} steps have failed"),
    }
}
