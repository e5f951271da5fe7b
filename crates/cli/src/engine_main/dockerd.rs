//! The flags of `dockerd`, under whose name the engine takes them.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use super::common::Common;
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
    #[command(flatten)]
    common: Common,
    /// Print the version and quit
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// The version of Docker that the engine stands for, and its own.
const VERSION: &str = concat!("28.2.2, build wharf-", env!("CARGO_PKG_VERSION"));

/// The definition, for what is written about it.
#[cfg(test)]
pub fn command() -> clap::Command {
    Flags::command()
}

/// Where settings are unless `--config-file` says otherwise.
const FILE: &str = "/etc/docker/daemon.json";

/// Reads the flags and the file.
pub fn read(words: &[OsString]) -> Result<Settings, clap::Error> {
    let command = Flags::command().display_name("Docker version").version(VERSION);
    let (flags, idle) = super::common::read::<Flags>(command, FILE, words)?;
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
        common: flags.common,
        idle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Settings, clap::Error> {
        read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_those_of_dockerd() {
        let settings = read_line("--data-root /r --exec-root /x -H unix:///a -p /p.pid -D --bip 10.9.0.1/24").unwrap();
        assert_eq!((settings.root.to_str(), settings.log_level.as_str()), (Some("/r"), "debug"));
        assert_eq!(settings.pidfile, Some("/p.pid".into()));
        assert!(VERSION.starts_with(crate::app::version_of("docker")));
    }

    #[test]
    fn all_are_taken_and_those_without_effect_are_named() {
        let line = "--live-restore --userland-proxy=false -s overlay2 --iptables=true --no-new-privileges";
        let settings = read_line(&format!("{line} --log-opt max-size=1m --label a=b --debug=false")).unwrap();
        assert_eq!(settings.idle.len(), 4, "{:?}", settings.idle);
        let defaults = settings.common.defaults();
        assert!(defaults.no_new_privileges && defaults.log_options["max-size"] == "1m");
        assert_eq!(settings.common.labels().unwrap(), ["a=b"]);
    }

    #[test]
    fn the_file_says_the_same_as_flags() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        std::fs::write(&path, r#"{"hosts": ["unix:///b"], "debug": true, "mtu": 1400, "bip": "10.9.0.1/24"}"#).unwrap();
        let settings = read_line(&format!("--config-file {} --data-root /r", path.display())).unwrap();
        assert_eq!((settings.hosts[0].as_str(), settings.log_level.as_str()), ("unix:///b", "debug"));
        let twice = read_line(&format!("--config-file {} --mtu 9000", path.display())).unwrap_err().to_string();
        assert!(twice.contains("specified both as a flag and in the configuration file: mtu"), "{twice}");
    }

    /// Where Docker's own engine is installed, each of its flags is known.
    #[test]
    fn every_flag_of_the_dockerd_that_is_installed_is_known() {
        let Ok(output) = std::process::Command::new("dockerd").arg("--help").output() else {
            return println!("SKIPPED: no dockerd is installed");
        };
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        let known = crate::engine_main::common::complete(Flags::command());
        let flags = help.lines().filter(|line| line.trim_start().starts_with('-'));
        let flags = flags.filter_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("--")));
        let knows = |flag: &str| known.get_arguments().any(|arg| arg.get_long() == Some(flag));
        let missing: Vec<&str> = flags.filter(|flag| *flag != "help" && !knows(flag)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
