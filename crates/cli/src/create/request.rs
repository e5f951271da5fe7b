//! Builds the request from the flags.

use std::path::Path;

use wharf_api::container::{Config, CreateRequest, HealthConfig};
use wharf_api::{Empty, List, Map};

use super::flags::ContainerFlags;
use super::{host_config, networks};
use crate::grammar::{env_file, port, volume};

/// The label that the engine looks for.
const RESTART_ON_UNHEALTHY: &str = "io.wharf.restart-on-unhealthy";

/// Everything that `POST /containers/create` takes.
#[derive(Debug)]
pub struct Create {
    /// The body.
    pub body: CreateRequest,
    /// The container's name.
    pub name: Option<String>,
    /// `OS/ARCH`, empty for the engine's own.
    pub platform: String,
}

/// What the flags and the words after them ask for. `current` is the folder that relative paths are about.
pub fn build(flags: &ContainerFlags, image: &str, command: &[String], current: &Path) -> Result<Create, String> {
    check(flags)?;
    let volumes = flags.volume.iter().map(|text| volume::parse(text, current)).collect::<Result<Vec<_>, _>>()?;
    let published = flags.publish.iter().map(|text| port::publish(text)).collect::<Result<Vec<_>, _>>()?.concat();
    let exposed = flags.expose.iter().map(|text| port::expose(text)).collect::<Result<Vec<_>, _>>()?.concat();
    let attach = Attach::of(flags);
    let config = Config {
        hostname: flags.hostname.clone().unwrap_or_default(),
        domainname: flags.domainname.clone().unwrap_or_default(),
        user: flags.user.clone().unwrap_or_default(),
        attach_stdin: attach.stdin,
        attach_stdout: attach.stdout,
        attach_stderr: attach.stderr,
        exposed_ports: non_empty(published.iter().map(|(port, _)| *port).chain(exposed).map(|port| (port, Empty))),
        tty: flags.tty,
        open_stdin: flags.interactive,
        stdin_once: flags.interactive && attach.stdin,
        env: environment(flags)?,
        cmd: list(command),
        healthcheck: health(flags)?,
        image: image.to_owned(),
        volumes: volumes.iter().filter_map(anonymous).map(|path| (path, Empty)).collect(),
        working_dir: flags.workdir.clone().unwrap_or_default(),
        entrypoint: flags.entrypoint.iter().cloned().collect::<Vec<_>>().pipe_list(),
        labels: labels(flags)?,
        stop_signal: flags.stop_signal.clone().unwrap_or_default(),
        stop_timeout: flags.stop_timeout,
        ..Config::default()
    };
    let (mode, networking) = networks::plan(flags)?;
    let host = host_config::build(flags, &volumes, &published, mode)?;
    let body = CreateRequest { config, host_config: Some(host), networking_config: Some(networking) };
    let name = flags.name.clone().filter(|name| !name.is_empty());
    Ok(Create { body, name, platform: String::new() })
}

/// Which streams the client connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attach {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Attach {
    /// Those named by `--attach`; otherwise both outputs, and the input with `--interactive`.
    pub fn of(flags: &ContainerFlags) -> Self {
        let named = |name: &str| flags.attach.iter().any(|stream| stream == name);
        if flags.attach.is_empty() {
            return Self { stdin: flags.interactive, stdout: true, stderr: true };
        }
        Self { stdin: named("stdin"), stdout: named("stdout"), stderr: named("stderr") }
    }
}

trait PipeList {
    fn pipe_list(self) -> List<String>;
}

impl PipeList for Vec<String> {
    fn pipe_list(self) -> List<String> {
        if self.is_empty() { List::null() } else { self.into() }
    }
}

/// `null` where nothing was given, as Docker sends it.
pub fn list(items: &[String]) -> List<String> {
    items.to_vec().pipe_list()
}

fn non_empty<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> Map<K, V> {
    let map: Map<K, V> = entries.collect();
    if map.is_empty() { Map::null() } else { map }
}

fn anonymous(volume: &volume::Volume) -> Option<String> {
    match volume {
        volume::Volume::Anonymous(path) => Some(path.clone()),
        volume::Volume::Bind(_) => None,
    }
}

fn check(flags: &ContainerFlags) -> Result<(), String> {
    if !matches!(flags.memory_swappiness, -1..=100) {
        return Err(format!("invalid value: {}. Valid memory swappiness range is 0-100", flags.memory_swappiness));
    }
    if !matches!(flags.pull.as_str(), "always" | "missing" | "never") {
        return Err(format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            flags.pull
        ));
    }
    Ok(())
}

/// Variables of the files first, then those of the flags; of one name given twice by flag the last one counts.
fn environment(flags: &ContainerFlags) -> Result<List<String>, String> {
    let mut all = Vec::new();
    for file in &flags.env_file {
        all.extend(env_file::variables_of_file(file)?);
    }
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let first = all.len();
    for variable in &flags.env {
        match all[first..].iter_mut().find(|have: &&mut String| name(have) == name(variable)) {
            Some(slot) => slot.clone_from(variable),
            None => all.push(variable.clone()),
        }
    }
    Ok(all.pipe_list())
}

fn labels(flags: &ContainerFlags) -> Result<Map<String, String>, String> {
    let mut all = Vec::new();
    for file in &flags.label_file {
        all.extend(env_file::labels_of_file(file)?);
    }
    all.extend(flags.label.iter().cloned());
    if flags.restart_on_unhealthy {
        all.push(format!("{RESTART_ON_UNHEALTHY}=true"));
    }
    Ok(all.iter().map(|text| pair(text)).collect())
}

/// `NAME=VALUE`; the value is empty where there is no equals sign.
pub(super) fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn health(flags: &ContainerFlags) -> Result<Option<HealthConfig>, String> {
    let test = health_test(flags);
    let times = [
        ("interval", flags.health_interval),
        ("timeout", flags.health_timeout),
        ("start-period", flags.health_start_period),
        ("start-interval", flags.health_start_interval),
    ];
    let changed = !test.is_empty() || flags.health_retries != 0 || times.iter().any(|(_, time)| *time != 0);
    if flags.no_healthcheck {
        if changed {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() }));
    }
    if !changed {
        return Ok(None);
    }
    if let Some((name, _)) = times.iter().find(|(_, time)| *time < 0) {
        return Err(format!("--health-{name} cannot be negative"));
    }
    if flags.health_retries < 0 {
        return Err("--health-retries cannot be negative".into());
    }
    Ok(Some(HealthConfig {
        test,
        interval: flags.health_interval,
        timeout: flags.health_timeout,
        start_period: flags.health_start_period,
        start_interval: flags.health_start_interval,
        retries: flags.health_retries,
    }))
}

fn health_test(flags: &ContainerFlags) -> Vec<String> {
    let kinds =
        [("CMD-SHELL", &flags.health_cmd), ("WHARF-TCP", &flags.health_tcp), ("WHARF-HTTP", &flags.health_http)];
    let given = kinds.into_iter().find_map(|(kind, value)| Some((kind, value.as_deref().filter(|v| !v.is_empty())?)));
    given.map_or_else(Vec::new, |(kind, value)| vec![kind.to_owned(), value.to_owned()])
}
