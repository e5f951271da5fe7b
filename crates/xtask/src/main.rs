//! The project's own commands: `cargo xtask test`, `bench`, `demo`, `vm`, `deb` and `install`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to a person")]

mod bench;
mod cargo;
mod command;
mod demo;
mod needs;
mod package;
mod test;
mod torture;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test, fetching first what the tests need
    Test(test::Arguments),
    /// Measure wharf against the promises, the kernel's own cost and the engines that are installed
    Bench(bench::Arguments),
    /// Build the release binary and do the main job with it, step by step
    Demo(demo::Arguments),
    /// Kill the engine under load, again and again, and hold what is left against what was acknowledged
    Torture(torture::Arguments),
    /// Run the end-to-end tests on cgroup v2 in a virtual machine
    Vm(vm::Arguments),
    /// Make a Debian package
    Deb(package::DebArguments),
    /// Install the program, its manual pages, completion and systemd units
    Install(package::InstallArguments),
    /// One start of a container with nothing but system calls (the benchmark calls itself by this)
    #[command(hide = true)]
    Floor(bench::floor::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Torture(arguments) => torture::run(&arguments),
        Task::Vm(arguments) => vm::run(&arguments),
        Task::Deb(arguments) => package::deb(&arguments),
        Task::Install(arguments) => package::install(&arguments),
        Task::Floor(arguments) => bench::floor::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
