//! The `wharf` binary: client, engine and monitor in one file.
//!
//! What it is depends on the name it is called by, so that is looked at before anything else happens: a monitor must
//! stay small and single-threaded, and a client must start fast.
#![allow(rustdoc::broken_intra_doc_links, reason = "what documents a flag is its help, in which [] means optional")]

mod app;
mod build;
mod cli;
mod commands;
#[cfg(test)]
mod compatibility;
mod connect;
mod context;
mod copy;
mod create;
mod credentials;
mod engine_main;
mod env;
mod failure;
mod grammar;
mod help;
mod output;
mod plugins;
mod runtime_main;
mod template;
mod terminal;
mod tree;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or("wharf").to_owned();
    match name.as_str() {
        wharf_monitor::NAME => wharf_monitor::main(),
        "dockerd" => engine_main::main(engine_main::Called::Dockerd, words),
        "wharf-runtime" | "runc" | "crun" => runtime_main::main(&name, words),
        "docker" => cli::main("docker", words),
        _ => cli::main("wharf", words),
    }
}
