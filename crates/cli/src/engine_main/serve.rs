//! Opens the engine, listens, and ends in good order.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use wharf_engine::{Changeable, Config, Engine};
use wharf_server::{Access, Host, Listener};
use wharf_types::{Error, Result, ResultExt};

use super::flags::Settings;
use super::log::SetLevel;
use super::{dump, log};

/// Runs the engine until SIGTERM or SIGINT. Containers go on without it. `again` reads the settings again.
pub fn run(settings: Settings, again: impl Fn() -> Result<Settings, clap::Error> + Send + 'static) -> Result<()> {
    if settings.detached {
        // Whoever started us goes on without us, and signals meant for its terminal are not meant for us.
        rustix::process::setsid().map_err(std::io::Error::from).context("cannot become a session of its own")?;
    }
    let set_level = log::begin(&settings.log_level, &settings.common.log_format)?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::forbidden("the engine must be run as root")
            .with_hint("use sudo; engines for ordinary users are not supported yet"));
    }
    for line in &settings.idle {
        tracing::warn!("{line}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .build()
        .context("cannot start the engine's threads")?;
    runtime.block_on(serve(settings, set_level, again))
}

/// Few threads: the engine waits much more than it works.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 4)
}

async fn serve(
    settings: Settings,
    set_level: SetLevel,
    again: impl Fn() -> Result<Settings, clap::Error> + Send + 'static,
) -> Result<()> {
    // Listening comes first: nothing is touched where another engine has the socket.
    let listeners = listeners(&settings)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let engine = Engine::open(config(&settings)?).await?;
    let _pidfile = settings.pidfile.as_deref().map(PidFile::write).transpose()?;
    tracing::info!(id = engine.id(), root = %settings.root.display(), "the engine runs");
    if let Some(address) = settings.common.metrics_addr {
        tokio::spawn(wharf_server::serve_metrics(engine.clone(), wharf_server::listen_for_metrics(address).await?));
    }
    tokio::spawn(heed_signals(engine.clone(), settings.run.clone(), set_level, again));
    let shutdown = async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "the engine ends; containers go on");
    };
    wharf_server::serve_guarded(engine.clone(), listeners, settings.common.authorization_plugin, shutdown).await;
    engine.close().await;
    Ok(())
}

/// Reads the settings again on SIGHUP, and says what goes on on SIGUSR1.
async fn heed_signals(
    engine: Engine,
    run: PathBuf,
    set_level: SetLevel,
    again: impl Fn() -> Result<Settings, clap::Error>,
) {
    let (Ok(mut hangup), Ok(mut user)) = (signal(SignalKind::hangup()), signal(SignalKind::user_defined1())) else {
        return tracing::warn!("signals cannot be heeded");
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => match reload(&engine, &set_level, again()) {
                Ok(()) => tracing::info!("the settings were read again"),
                Err(why) => tracing::error!("the settings were not taken over: {why}"),
            },
            _ = user.recv() => match dump::write(&engine, &run).await {
                Ok(path) => tracing::info!(path = %path.display(), "what goes on was written down"),
                Err(error) => tracing::error!(error = error.chain(), "what goes on was not written down"),
            },
        }
    }
}

/// Takes over what may change: log level, labels, mirrors, insecure registries, proxies.
fn reload(engine: &Engine, set_level: &SetLevel, settings: Result<Settings, clap::Error>) -> Result<(), String> {
    let settings = settings.map_err(|error| error.to_string())?;
    let changeable = changeable(&settings).map_err(|error| error.chain())?;
    set_level(&settings.log_level).map_err(|error| error.chain())?;
    engine.reload(changeable, settings.registries.settings());
    Ok(())
}

fn changeable(settings: &Settings) -> Result<Changeable> {
    let debug = matches!(settings.log_level.as_str(), "debug" | "trace");
    Ok(Changeable { labels: settings.common.labels()?, debug })
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
        daemon: settings.common.defaults(),
        changeable: changeable(settings)?,
        ..Config::new(&settings.root, &settings.run)
    })
}

fn listeners(settings: &Settings) -> Result<Vec<Listener>> {
    let access = settings.common.access()?;
    let default = [format!("unix://{}", wharf_engine::DEFAULT_SOCKET)];
    let hosts = if settings.hosts.is_empty() { &default[..] } else { &settings.hosts };
    let mut listeners = Vec::new();
    for host in hosts {
        match host.strip_prefix("fd://") {
            Some(_) => listeners.extend(inherited(&access)?),
            None => listeners.push(Listener::bind_for(&host.parse::<Host>()?, &access)?),
        }
    }
    Ok(listeners)
}

/// Sockets that a service manager hands over, beginning with descriptor 3 (sd_listen_fds(3)).
fn inherited(access: &Access) -> Result<Vec<Listener>> {
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
            Listener::from_fd(fd, access)
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
