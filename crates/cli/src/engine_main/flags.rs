//! The flags of `wharf engine`.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser};

use super::common::Common;
use super::containers::ContainerFlags;
use super::network::NetworkFlags;
use super::registries::Registries;
use wharf_engine::NetworkDefaults;

/// What an engine is told on its command line.
#[derive(Debug)]
pub struct Settings {
    /// What lasts.
    pub root: PathBuf,
    /// What a reboot clears.
    pub run: PathBuf,
    /// Where to listen, as `unix://PATH`, `tcp://ADDRESS:PORT` or `fd://`.
    pub hosts: Vec<String>,
    /// Cgroup below which containers are placed.
    pub cgroup_parent: Option<String>,
    /// Name of the default network's bridge.
    pub bridge: Option<String>,
    /// Address of the default network's bridge.
    pub bridge_address: Option<(Ipv4Addr, u8)>,
    /// Name servers for containers.
    pub dns: Vec<String>,
    /// How registries are spoken to.
    pub registries: Registries,
    /// Give up blobs of unpacked layers that can be made anew or fetched again.
    pub give_up_blobs: bool,
    /// What networks are like.
    pub network: NetworkDefaults,
    /// What containers are like.
    pub containers: ContainerFlags,
    /// Which messages are logged.
    pub log_level: String,
    /// File that takes the process id.
    pub pidfile: Option<PathBuf>,
    /// Become a session of its own.
    pub detached: bool,
    /// What all engines are told.
    pub common: Common,
    /// What was given and has no effect, in sentences.
    pub idle: Vec<String>,
}

/// The flags as clap knows them.
#[derive(Debug, Parser)]
#[command(name = "wharf engine", about = "Run the engine in the foreground", version, disable_help_subcommand = true)]
struct Flags {
    #[command(flatten)]
    places: Places,
    /// Cgroup below which containers are placed, from each hierarchy's root
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Subnet of the default network: the address of its bridge and the length of its prefix
    #[arg(long, value_name = "ADDRESS/LENGTH", value_parser = subnet)]
    bridge_subnet: Option<(Ipv4Addr, u8)>,
    /// Name of the default network's bridge
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// Name server for containers (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    #[command(flatten)]
    registries: Registries,
    /// Give up blobs of layers once they are unpacked, where the same bytes can be made anew or fetched again
    #[arg(long)]
    give_up_blobs: bool,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    containers: ContainerFlags,
    /// Which messages are logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Write the process id into this file
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Log everything
    #[arg(short = 'D', long)]
    debug: bool,
    #[command(flatten)]
    common: Common,
    /// Become a session of its own
    #[arg(long, hide = true)]
    detached: bool,
}

/// Where the engine keeps its things and where it listens.
#[derive(Debug, Args)]
struct Places {
    /// What must outlast a reboot: images, containers, volumes
    #[arg(long, alias = "data-root", value_name = "DIR", default_value = wharf_engine::DEFAULT_ROOT)]
    root: PathBuf,
    /// What a reboot may clear
    #[arg(long, alias = "exec-root", value_name = "DIR", default_value = wharf_engine::DEFAULT_RUN)]
    run: PathBuf,
    /// Where to listen: unix://PATH, tcp://ADDRESS:PORT or fd:// (repeatable) [default: unix:///run/wharf.sock]
    #[arg(short = 'H', long = "host", value_name = "ADDRESS")]
    hosts: Vec<String>,
}

/// Where settings are unless `--config-file` says otherwise.
const FILE: &str = "/etc/wharf/daemon.json";

/// Reads the flags and the file.
pub fn read(words: &[OsString]) -> Result<Settings, clap::Error> {
    let (flags, idle) = super::common::read::<Flags>(Flags::command(), FILE, words)?;
    Ok(Settings {
        root: flags.places.root,
        run: flags.places.run,
        hosts: flags.places.hosts,
        cgroup_parent: flags.cgroup_parent,
        bridge: flags.bridge,
        bridge_address: flags.bridge_subnet,
        dns: flags.dns,
        registries: flags.registries,
        give_up_blobs: flags.give_up_blobs,
        network: flags.network.defaults(),
        containers: flags.containers,
        log_level: if flags.debug { "debug".into() } else { flags.log_level },
        pidfile: flags.pidfile,
        detached: flags.detached,
        common: flags.common,
        idle,
    })
}

/// The definition, for help and manual pages.
pub fn command() -> Command {
    super::common::complete(Flags::command())
}

/// `ADDRESS/LENGTH`. The address of the subnet itself stands for its first host.
pub fn subnet(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let wrong = || format!("{text:?} is no subnet; one looks like 172.30.0.1/16");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let length: u8 = length.parse().ok().filter(|length| (8..=30).contains(length)).ok_or_else(wrong)?;
    let hosts = u32::MAX >> length;
    let bits = u32::from(address);
    match bits & hosts {
        0 => Ok((Ipv4Addr::from(bits + 1), length)),
        last if last == hosts => Err(format!("{text:?}: the last address of a subnet cannot be a bridge's")),
        _ => Ok((address, length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_makes_sense_to_clap() {
        command().debug_assert();
    }

    #[test]
    fn flags_are_read() {
        let words = "--root /r --run /x --host unix:///a -H tcp://127.0.0.1:1 --bridge-subnet 10.9.0.0/24";
        let settings = read(&words.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap();
        assert_eq!(settings.hosts, ["unix:///a", "tcp://127.0.0.1:1"]);
        assert_eq!(settings.bridge_address, Some((Ipv4Addr::new(10, 9, 0, 1), 24)));
        assert!(subnet("10.9.0.255/24").is_err() && subnet("x").is_err() && subnet("10.0.0.0/31").is_err());
    }
}
