//! A command of a build in a container of its own, without a row: it belongs to nobody but the build that waits for it.
//!
//! It goes through the same monitor and runtime as every container. Should the engine die meanwhile, the next one finds
//! folder and cgroup without a row and removes them.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wharf_api::container::{Config, HostConfig};
use wharf_build::dockerfile::Network;
use wharf_build::host::{Command, Output, StepMount, StepSource, Stream};
use wharf_monitor::handle::Events;
use wharf_monitor::protocol::{Event, LogPlan, MonitorSpec, Streams};
use wharf_network::plan::SandboxPlan;
use wharf_runtime::cgroup::Group;
use wharf_runtime::spec::{Mount, MountSource, Propagation, RootFs};
use wharf_types::{Digest, Error, Id, Result, ResultExt};

use super::record::Record;
use super::{create, files, launch, spec, teardown};
use crate::config::ContainerDefaults;
use crate::services::Services;

/// The name of the container that a command of a build sees.
const HOSTNAME: &str = "buildkitsandbox";

/// How long the engine's end waits for the commands of builds to be cleared away.
const PATIENCE: Duration = Duration::from_secs(20);

/// All commands that run or are being cleared away; clones share them.
#[derive(Clone, Default)]
pub struct Steps(Arc<StepsInner>);

#[derive(Default)]
struct StepsInner {
    count: watch::Sender<usize>,
    ending: watch::Sender<bool>,
}

/// One of them, until it is dropped.
pub struct Running(Arc<StepsInner>);

impl Steps {
    /// Notes one more.
    pub fn begin(&self) -> Running {
        self.0.count.send_modify(|count| *count += 1);
        Running(Arc::clone(&self.0))
    }

    /// Ready when the engine ends.
    async fn ending(&self) {
        let mut ending = self.0.ending.subscribe();
        // The sender lives as long as this does.
        drop(ending.wait_for(|ending| *ending).await);
    }

    /// Ends all, and waits until nothing of them is left.
    pub async fn end(&self) {
        self.0.ending.send_replace(true);
        let mut count = self.0.count.subscribe();
        if tokio::time::timeout(PATIENCE, count.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("steps of builds are left behind; the next engine removes them");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}

/// Runs a command to its end and answers its exit code; dropping the future kills it.
///
/// # Errors
/// Whatever keeps it from starting, and the engine's end.
pub async fn run(services: &Services, command: Command, output: Output) -> Result<i32> {
    let running = services.steps.begin();
    let id = id_of(&command.snapshot.dir)?;
    let record = record(id, &command, &services.config.containers)?;
    let sandbox = launch::plan(services, &record).await?;
    let running = Some(running);
    let mut guard = Guard { services: services.clone(), record, sandbox, monitor: None, done: false, running };
    let result = tokio::select! {
        result = guard.run(&command, output) => result,
        () = services.steps.ending() => return Err(Error::unavailable("the engine ends")),
    };
    guard.finish().await;
    result
}

fn id_of(dir: &Path) -> Result<Id> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse().map_err(|error: wharf_types::IdError| Error::system("a step has no folder").caused_by(error))
}

fn record(id: Id, command: &Command, defaults: &ContainerDefaults) -> Result<Record> {
    let mut host_config = HostConfig {
        privileged: command.privileged,
        // A build's files belong to the image, whoever is root in containers.
        userns_mode: "host".into(),
        network_mode: match command.network {
            Network::Default => "bridge",
            Network::None => "none",
            Network::Host => "host",
        }
        .into(),
        ..HostConfig::default()
    };
    host_config.extra_hosts = command.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect();
    create::fill_in(&mut host_config, defaults)?;
    let config = Config {
        hostname: HOSTNAME.into(),
        user: command.user.clone(),
        working_dir: command.cwd.clone(),
        ..Config::default()
    };
    Ok(Record {
        id,
        name: format!("build-{}", id.short()),
        created: crate::time::now(),
        image: Digest::of(b""),
        layers: command.layers.clone(),
        diff_ids: Vec::new(),
        config,
        host_config,
        networking: Default::default(),
        mounts: Vec::new(),
    })
}

/// Takes everything down, whether the command ended or nobody waits for it any more.
struct Guard {
    services: Services,
    record: Record,
    sandbox: SandboxPlan,
    monitor: Option<i32>,
    done: bool,
    running: Option<Running>,
}

impl Guard {
    async fn run(&mut self, command: &Command, output: Output) -> Result<i32> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
        let (mut events, monitor) = self.start(command, theirs.into()).await?;
        self.monitor = Some(monitor);
        let reading = tokio::task::spawn_blocking(move || read_output(ours, &output));
        let mut exit = None;
        while let Some(event) = events.next().await? {
            if let Event::Exited(ended) = event {
                exit = Some(ended);
            }
        }
        reading.await.unwrap_or_else(|error| Err(Error::system("reading a step's output failed").caused_by(error)))?;
        let exit = exit.ok_or_else(|| Error::system("the monitor of a step ended unexpectedly"))?;
        if exit.oom_killed {
            return Err(Error::exhausted("the step was killed because memory ran out"));
        }
        Ok(exit.code)
    }

    async fn start(&self, command: &Command, client: OwnedFd) -> Result<(Events, i32)> {
        let (services, record) = (&self.services, &self.record);
        let run_dir = services.config.monitor_dir(record.id);
        let dir = services.config.container_dir(record.id);
        let host_gateway = services.networks.find("bridge").ok().and_then(|bridge| bridge.gateway4());
        let around = files::Surroundings { dns: &services.config.dns, host_gateway, has_names: false, joined: None };
        let (newborn, spec) = tokio::task::block_in_place(|| {
            files::write(record, &self.sandbox, &dir, &around)?;
            launch::make_fresh(&run_dir)?;
            Ok::<_, Error>((services.monitors.take()?, self.spec(command, &run_dir)?))
        })?;
        let monitor = newborn.pid();
        let streams = Streams { stdin: false, stdout: true, stderr: true, multiplexed: true, detach_keys: Vec::new() };
        let (_started, _handle, events) = newborn.start(&run_dir, &spec, vec![(client, streams)]).await?;
        services.monitors.refill(false, true);
        Ok((events, monitor))
    }

    fn spec(&self, command: &Command, run_dir: &Path) -> Result<MonitorSpec> {
        let mut spec = spec::build(&self.services, &self.record, self.sandbox.clone(), None)?;
        spec.log = LogPlan::None;
        // What a step leaves becomes durable with the image; before that it is of no use to anybody.
        if let RootFs::Overlay { volatile, .. } = &mut spec.container.root {
            *volatile = true;
        }
        let process = &mut spec.container.process;
        process.argv.clone_from(&command.argv);
        process.env.clone_from(&command.env);
        let taken = |mount: &Mount| command.mounts.iter().any(|own| own.destination == mount.destination);
        spec.container.mounts.retain(|mount| !taken(mount));
        for (number, mount) in command.mounts.iter().enumerate() {
            spec.container.mounts.push(step_mount(mount, run_dir, number)?);
        }
        spec.container.mounts.sort_by_key(|mount| mount.destination.matches('/').count());
        Ok(spec)
    }

    /// Removes what may be left of the command; without a monitor nothing of it was ever there.
    async fn finish(mut self) {
        self.done = true;
        if let Some(monitor) = self.monitor {
            // Its network namespace and mounts end with it.
            let run_dir = self.services.config.monitor_dir(self.record.id);
            if teardown::await_monitor(monitor, &run_dir).await.is_err() {
                teardown::kill_monitor(monitor, &run_dir);
            }
        }
        tidy(&self.services, &self.record, &self.sandbox, false).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (services, record, sandbox) = (self.services.clone(), self.record.clone(), self.sandbox.clone());
        let (monitor, running) = (self.monitor, self.running.take());
        tokio::spawn(async move {
            let _running = running;
            kill(&services, &record).await;
            if let Some(monitor) = monitor {
                let run_dir = services.config.monitor_dir(record.id);
                if teardown::await_monitor(monitor, &run_dir).await.is_err() {
                    teardown::kill_monitor(monitor, &run_dir);
                }
            }
            tidy(&services, &record, &sandbox, true).await;
        });
    }
}

async fn kill(services: &Services, record: &Record) {
    let path = services.cgroup_of(None, record.id);
    let killed = crate::blocking(move || Group::open(&path)?.kill_all()).await;
    if let Err(error) = killed {
        tracing::warn!(step = %record.id, error = %error.chain(), "a step of a build was not killed");
    }
}

async fn tidy(services: &Services, record: &Record, sandbox: &SandboxPlan, broken: bool) {
    if broken {
        for problem in teardown::sweep(services, record, Some(sandbox)).await {
            tracing::warn!(step = %record.id, problem = %problem.chain(), "left over");
        }
    }
    services.networks.release(record.id);
    let run_dir = services.config.monitor_dir(record.id);
    if let Err(error) = std::fs::remove_dir_all(&run_dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %run_dir.display(), %error, "left behind; the next engine removes it");
    }
}

fn step_mount(mount: &StepMount, run_dir: &Path, number: usize) -> Result<Mount> {
    let mut options = Vec::new();
    let source = match &mount.source {
        StepSource::Bind(path) => MountSource::Bind { path: path.clone(), recursive: true },
        StepSource::Tmpfs(size) => {
            options.extend(size.map(|size| format!("size={size}")));
            MountSource::Tmpfs
        }
        StepSource::Secret(content, mode, uid, gid) => {
            let path = run_dir.join(format!("secret-{number}"));
            write_secret(&path, content, *mode, *uid, *gid).context("cannot hand a secret over")?;
            MountSource::Bind { path, recursive: false }
        }
        StepSource::Stack(folders, snapshot) => {
            let text = |path: &PathBuf| path.display().to_string();
            let lower: Vec<String> = folders.iter().map(text).collect();
            options.push(format!("lowerdir={}", lower.join(":")));
            if let Some(snapshot) = snapshot {
                options.push(format!("upperdir={}", text(&snapshot.upper)));
                options.push(format!("workdir={}", text(&snapshot.work)));
            }
            MountSource::Filesystem { kind: "overlay".into(), device: "overlay".into() }
        }
    };
    Ok(Mount {
        destination: mount.destination.clone(),
        source,
        readonly: mount.readonly,
        readonly_recursive: false,
        propagation: Propagation::Rprivate,
        options,
        ..Mount::default()
    })
}

/// The monitor's folder is on a tmpfs and goes with the step.
fn write_secret(path: &Path, content: &[u8], mode: u32, uid: u32, gid: u32) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, content)?;
    chown(path, Some(uid), Some(gid))?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// Takes Docker's frames apart: stream, three zeros, length, payload.
fn read_output(mut socket: UnixStream, output: &Output) -> Result<()> {
    let mut header = [0; 8];
    let mut payload = Vec::new();
    loop {
        match socket.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error).context("cannot read a step's output"),
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        payload.resize(usize::try_from(length).unwrap_or(0), 0);
        socket.read_exact(&mut payload).context("cannot read a step's output")?;
        output(if header[0] == 2 { Stream::Stderr } else { Stream::Stdout }, &payload);
    }
}
