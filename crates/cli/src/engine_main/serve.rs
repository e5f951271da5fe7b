//! Opens the engine, listens, and ends in good order.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use wharf_engine::{Config, Engine};
use wharf_server::{Host, Listener};
use wharf_types::{Error, Result, ResultExt};

use super::flags::Settings;
use crate::output::journal;

/// Runs the engine until SIGTERM or SIGINT. Containers go on without it.
pub fn run(settings: Settings) -> Result<()> {
    if settings.detached {
        // Whoever started us goes on without us, and signals meant for its terminal are not meant for us.
        rustix::process::setsid().map_err(std::io::Error::from).context("cannot become a session of its own")?;
    }
    let level = if settings.log_level == "fatal" { "error" } else { &settings.log_level };
    journal::to_stderr(level)?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::forbidden("the engine must be run as root")
            .with_hint("use sudo; engines for ordinary users are not supported yet"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .build()
        .context("cannot start the engine's threads")?;
    runtime.block_on(serve(settings))
}

/// Few threads: the engine waits much more than it works.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 4)
}

async fn serve(settings: Settings) -> Result<()> {
    // Listening comes first: nothing is touched where another engine has the socket.
    let listeners = listeners(&settings.hosts)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let engine = Engine::open(config(&settings)?).await?;
    let _pidfile = settings.pidfile.as_deref().map(PidFile::write).transpose()?;
    tracing::info!(id = engine.id(), root = %settings.root.display(), "the engine runs");
    let shutdown = async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "the engine ends; containers go on");
    };
    wharf_server::serve(engine.clone(), listeners, shutdown).await;
    engine.close().await;
    Ok(())
}

fn config(settings: &Settings) -> Result<Config> {
    Ok(Config {
        cgroup_parent: settings.cgroup_parent.clone(),
        bridge: settings.bridge.clone(),
        bridge_address: settings.bridge_address,
        dns: settings.dns.clone(),
        registries: settings.registries.settings(),
        downloads: settings.registries.max_concurrent_downloads,
        uploads: settings.registries.max_concurrent_uploads,
        give_up_blobs: settings.give_up_blobs,
        network: settings.network.clone(),
        containers: settings.containers.defaults()?,
        ..Config::new(&settings.root, &settings.run)
    })
}

fn listeners(hosts: &[String]) -> Result<Vec<Listener>> {
    let default = [format!("unix://{}", wharf_engine::DEFAULT_SOCKET)];
    let hosts = if hosts.is_empty() { &default[..] } else { hosts };
    let mut listeners = Vec::new();
    for host in hosts {
        match host.strip_prefix("fd://") {
            Some(_) => listeners.extend(inherited()?),
            None => listeners.push(Listener::bind(&host.parse::<Host>()?)?),
        }
    }
    Ok(listeners)
}

/// Sockets that a service manager hands over, beginning with descriptor 3 (sd_listen_fds(3)).
fn inherited() -> Result<Vec<Listener>> {
    let count = crate::env::listen_descriptors();
    if count == 0 {
        return Err(
            Error::invalid("no sockets were handed over").with_hint("fd:// is for units with socket activation")
        );
    }
    (3..3 + count)
        .map(|number| -> Result<Listener> {
            let fd: OwnedFd = wharf_sys::inherit::take(number)
                .with_context(|| format!("descriptor {number} cannot be taken over"))?;
            Listener::from_fd(fd)
        })
        .collect()
}

/// The file with the process id; removed at the end.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<Self> {
        fs::write(path, std::process::id().to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that is gone already is no loss.
        let _ = fs::remove_file(&self.0);
    }
}
