//! The flags that `wharf engine` and `dockerd` have in common, beside those about networks and registries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use wharf_engine::DaemonDefaults;
use wharf_server::{Access, Tls};
use wharf_types::{Error, Result, ResultExt};

use crate::grammar::number;

/// Flags of every engine.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Settings in a file, by the names of the flags; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Check the settings and quit
    #[arg(long)]
    pub validate: bool,
    /// Group whose members may use the socket, by name or number [default: wharf or docker]
    #[arg(short = 'G', long, value_name = "GROUP")]
    group: Option<String>,
    /// Listen on TCP with TLS; --tlsverify implies it
    #[arg(long)]
    tls: bool,
    /// Listen on TCP with TLS, and let in only clients with a certificate of the authority
    #[arg(long)]
    tlsverify: bool,
    /// Certificate of the authority of clients [default: /etc/docker/ca.pem]
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// Certificate of the engine [default: /etc/docker/server-cert.pem]
    #[arg(long, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// Its key [default: /etc/docker/server-key.pem]
    #[arg(long, value_name = "FILE")]
    tlskey: Option<PathBuf>,
    /// Listen without TLS even where other hosts reach it: whoever does is root on this host
    #[arg(long)]
    allow_anybody_to_be_root_over_tcp: bool,
    /// What the engine says of itself in 'info' (KEY=VALUE, repeatable)
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Log driver of containers that name none
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    log_driver: String,
    /// Its options (NAME=VALUE, repeatable)
    #[arg(long, value_name = "OPTION", value_parser = pair)]
    log_opt: Vec<(String, String)>,
    /// How the engine's own log is written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub log_format: String,
    /// Let no process in a container gain privileges
    #[arg(long)]
    no_new_privileges: bool,
    /// Domain that containers look names up in (repeatable)
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Option of the containers' resolver (repeatable)
    #[arg(long, value_name = "OPTION")]
    dns_opt: Vec<String>,
    /// Serve metrics for Prometheus on this address, without encryption (ADDRESS:PORT)
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<std::net::SocketAddr>,
    /// Plugin that is asked whether a request may be answered (repeatable, in this order)
    #[arg(long, value_name = "NAME")]
    pub authorization_plugin: Vec<String>,
}

impl Common {
    /// What containers get that say nothing else.
    pub fn defaults(&self) -> DaemonDefaults {
        DaemonDefaults {
            log_driver: if self.log_driver == "json-file" { String::new() } else { self.log_driver.clone() },
            log_options: self.log_opt.iter().cloned().collect(),
            no_new_privileges: self.no_new_privileges,
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_opt.clone(),
        }
    }

    /// The labels, checked.
    pub fn labels(&self) -> Result<Vec<String>> {
        match self.label.iter().find(|label| !label.contains('=')) {
            Some(label) => {
                Err(Error::invalid(format!("bad attribute format: {label}")).with_hint("labels are KEY=VALUE"))
            }
            None => Ok(self.label.clone()),
        }
    }

    /// Who may come in.
    pub fn access(&self) -> Result<Access> {
        Ok(Access {
            tls: self.tls()?,
            group: self.group.clone(),
            open_to_everybody: self.allow_anybody_to_be_root_over_tcp,
        })
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let named = self.tlscacert.is_some() || self.tlscert.is_some() || self.tlskey.is_some();
        if !(self.tls || self.tlsverify || named) {
            return Ok(None);
        }
        let file = |given: &Option<PathBuf>, name: &str| {
            let path = given.clone().unwrap_or_else(|| Path::new("/etc/docker").join(name));
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display())).map_err(|error| {
                Error::new(error.kind(), error.to_string())
                    .with_hint("'wharf system certificates' makes a set of them")
                    .caused_by(error)
            })
        };
        let authorities = match self.tlsverify {
            true => Some(file(&self.tlscacert, "ca.pem")?),
            false => None,
        };
        let (certificate, key) = (file(&self.tlscert, "server-cert.pem")?, file(&self.tlskey, "server-key.pem")?);
        Tls::new(&certificate, &key, authorities.as_deref()).map(Some)
    }
}

/// Reads flags, and the file beside them; gives what has no effect as well.
pub fn read<T: FromArgMatches>(
    command: Command,
    file: &str,
    words: &[OsString],
) -> std::result::Result<(T, Vec<String>), clap::Error> {
    let unused = without_effect(&command);
    let mut command = complete(command);
    let program = OsString::from(command.get_name());
    let line = |file: Vec<String>| {
        let file = file.into_iter().map(OsString::from);
        std::iter::once(program.clone()).chain(file).chain(words.iter().cloned()).collect::<Vec<_>>()
    };
    let given = command.clone().try_get_matches_from(line(Vec::new()))?;
    let named = given.get_one::<PathBuf>("config_file").cloned();
    let path = named.clone().unwrap_or_else(|| file.into());
    let from_file = super::file::read(&path, named.is_some())
        .and_then(|document| super::file::words(&document, &command, &given))
        .map_err(|text| command.error(clap::error::ErrorKind::ValueValidation, text))?;
    let matches = command.clone().try_get_matches_from(line(from_file))?;
    let idle = idle(&unused, &matches).map_err(|text| command.error(clap::error::ErrorKind::ValueValidation, text))?;
    Ok((T::from_arg_matches(&matches)?, idle))
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Marks a flag that somebody relies on: rather than forgotten it is refused.
const REFUSED: &str = "this version cannot map users for all containers";
/// Flags of `dockerd` that change nothing here, whether they take a value, and why.
const WITHOUT_EFFECT: [(&str, bool, &str); 49] = [
    ("add-runtime", true, "containers run by the engine's own runtime"),
    ("allow-direct-routing", false, "the firewall lets in what is published and no more"),
    ("allow-nondistributable-artifacts", true, "layers are pushed as the registry takes them"),
    ("api-cors-header", true, "Docker has taken it away"),
    ("bip6", true, "give --fixed-cidr-v6"),
    ("bridge-accept-fwmark", true, "the firewall is the engine's own table"),
    ("cdi-spec-dir", true, "devices are named, not described"),
    ("containerd", true, "there is no containerd"),
    ("containerd-namespace", true, "there is no containerd"),
    ("containerd-plugins-namespace", true, "there is no containerd"),
    ("cpu-rt-period", true, "containers have real time limits of their own"),
    ("cpu-rt-runtime", true, "containers have real time limits of their own"),
    ("cri-containerd", false, "there is no containerd"),
    ("default-cgroupns-mode", true, "containers say so themselves, with --cgroupns"),
    ("default-gateway", true, "the bridge is the gateway"),
    ("default-gateway-v6", true, "the bridge is the gateway"),
    ("default-ipc-mode", true, "containers say so themselves, with --ipc"),
    ("default-network-opt", true, "networks say what they need themselves"),
    ("default-runtime", true, "containers run by the engine's own runtime"),
    ("default-shm-size", true, "containers say so themselves, with --shm-size"),
    ("default-ulimit", true, "containers say so themselves, with --ulimit"),
    ("exec-opt", true, "cgroups are written directly"),
    ("experimental", false, "there is nothing experimental"),
    ("feature", true, "there are no features to switch"),
    ("firewall-backend", true, "the firewall is nftables"),
    ("host-gateway-ip", true, "it is the bridge's address"),
    ("init", false, "containers say so themselves, with --init"),
    ("init-path", true, "the init is the engine's own"),
    ("ip", true, "name the address with what is published"),
    ("ip-forward", false, "it is switched on when a network needs it"),
    ("ip-forward-no-drop", false, "the host's own policy stays as it is"),
    ("ip6tables", false, "the firewall is nftables, in tables of the engine's own"),
    ("iptables", false, "the firewall is nftables, in tables of the engine's own"),
    ("live-restore", false, "containers always go on without the engine"),
    ("min-api-version", true, "versions from 1.24 on are served"),
    ("network-control-plane-mtu", true, "there is no swarm"),
    ("node-generic-resource", true, "there is no swarm"),
    ("oom-score-adjust", true, "the service manager sets it"),
    ("raw-logs", false, "the log has no colours where it is no terminal"),
    ("rootless", false, "engines for ordinary users are not there yet"),
    ("seccomp-profile", true, "containers name their own profile with --security-opt"),
    ("selinux-enabled", false, "containers are not labelled"),
    ("shutdown-timeout", true, "containers go on without the engine"),
    ("storage-driver", true, "files are kept in overlay layers"),
    ("storage-opt", true, "files are kept in overlay layers"),
    ("swarm-default-advertise-addr", true, "there is no swarm"),
    ("userland-proxy", false, "there is no proxy process"),
    ("userland-proxy-path", true, "there is no proxy process"),
    ("userns-remap", true, REFUSED),
];
/// Flags that change nothing, whether they take a value, and why, as far as the command does not know them itself.
pub fn without_effect(command: &Command) -> Vec<&'static (&'static str, bool, &'static str)> {
    let knows = |name: &str| command.get_arguments().any(|arg| arg.get_long() == Some(name));
    WITHOUT_EFFECT.iter().filter(|(name, ..)| !knows(name)).collect()
}

/// Adds the flags without effect, and lets truth values take `=false` as Docker's do.
pub fn complete(command: Command) -> Command {
    let further = without_effect(&command);
    let command = further.into_iter().fold(command, |command, (name, takes_value, _)| {
        let action = if *takes_value { ArgAction::Append } else { ArgAction::SetTrue };
        let arg = Arg::new(*name).long(*name).action(action).hide(true);
        command.arg(if *name == "storage-driver" { arg.short('s') } else { arg })
    });
    command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .value_parser(number::boolean),
        _ => arg,
    })
}

/// What was given and changes nothing, in sentences.
fn idle(flags: &[&(&str, bool, &str)], matches: &ArgMatches) -> std::result::Result<Vec<String>, String> {
    let given = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
    let given = flags.iter().filter(|(name, ..)| given(name));
    given
        .map(|(name, _, why)| match *why == REFUSED {
            true => Err(format!("--{name} is refused: {why}")),
            false => Ok(format!("--{name} has no effect: {why}")),
        })
        .collect()
}
