//! The flags of `dockerd`, under whose name the engine takes them.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Parser;

use super::containers::ContainerFlags;
use super::flags::{Settings, subnet};
use super::network::NetworkFlags;
use super::registries::Registries;

/// The flags as clap knows them.
#[derive(Debug, Parser)]
#[command(
    name = "dockerd",
    about = "Run the engine in the foreground",
    disable_help_subcommand = true,
    disable_version_flag = true
)]
struct Flags {
    /// What must outlast a reboot: images, containers, volumes
    #[arg(long, value_name = "string", default_value = wharf_engine::DEFAULT_ROOT)]
    data_root: PathBuf,
    /// What a reboot may clear
    #[arg(long, value_name = "string", default_value = wharf_engine::DEFAULT_RUN)]
    exec_root: PathBuf,
    /// Where to listen: unix://PATH, tcp://ADDRESS:PORT or fd:// (repeatable) [default: unix:///var/run/docker.sock]
    #[arg(short = 'H', long = "host", value_name = "list")]
    hosts: Vec<String>,
    /// Write the process id into this file
    #[arg(short, long, value_name = "string", default_value = "/var/run/docker.pid")]
    pidfile: PathBuf,
    /// Log everything
    #[arg(short = 'D', long)]
    debug: bool,
    /// Which messages are logged: debug, info, warn, error or fatal
    #[arg(short, long, value_name = "string", default_value = "info")]
    log_level: String,
    /// Address of the default bridge (ADDRESS/LENGTH)
    #[arg(long, value_name = "string", value_parser = subnet)]
    bip: Option<(Ipv4Addr, u8)>,
    /// Name of the default bridge
    #[arg(short, long, value_name = "string")]
    bridge: Option<String>,
    /// Cgroup below which containers are placed
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
    /// Name server for containers (repeatable)
    #[arg(long, value_name = "list")]
    dns: Vec<String>,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    containers: ContainerFlags,
    /// Print the version and quit
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// The version of Docker that the engine stands for, and its own.
const VERSION: &str = concat!("28.2.2, build wharf-", env!("CARGO_PKG_VERSION"));

/// Reads the flags.
pub fn read(words: impl Iterator<Item = OsString>) -> Result<Settings, clap::Error> {
    use clap::{CommandFactory, FromArgMatches};
    let command = Flags::command().display_name("Docker version").version(VERSION);
    let matches = command.try_get_matches_from(std::iter::once("dockerd".into()).chain(words))?;
    let flags = Flags::from_arg_matches(&matches)?;
    let hosts = if flags.hosts.is_empty() { vec!["unix:///var/run/docker.sock".into()] } else { flags.hosts };
    Ok(Settings {
        root: flags.data_root,
        run: flags.exec_root,
        hosts,
        cgroup_parent: flags.cgroup_parent,
        bridge: flags.bridge,
        bridge_address: flags.bip,
        dns: flags.dns,
        registries: flags.registries,
        give_up_blobs: false,
        network: flags.network.defaults(),
        containers: flags.containers,
        log_level: if flags.debug { "debug".into() } else { flags.log_level },
        pidfile: Some(flags.pidfile),
        detached: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_dockerd() {
        let words = "--data-root /r --exec-root /x -H unix:///a -p /p.pid -D --bip 10.9.0.1/24";
        let settings = read(words.split(' ').map(OsString::from)).unwrap();
        assert_eq!((settings.root.to_str(), settings.log_level.as_str()), (Some("/r"), "debug"));
        assert_eq!(settings.pidfile, Some("/p.pid".into()));
        assert!(VERSION.starts_with(crate::app::version_of("docker")));
    }
}
