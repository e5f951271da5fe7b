//! Finds the engine, and starts one where the default one is meant and none is there.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wharf_client::{Client, Endpoint};

use crate::app::App;
use crate::context;
use crate::env;
use crate::failure::{Failure, Outcome};

mod tls;

/// The socket of the engine that starts on demand.
pub const DEFAULT_SOCKET: &str = "/run/wharf.sock";
/// Where the engine keeps what a reboot clears; its log is there as well.
pub const DEFAULT_RUN: &str = "/run/wharf";

/// An engine that takes longer than this to listen is given up on.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look whether it listens by now.
const LOOK: Duration = Duration::from_millis(2);

/// Where the engine is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The address.
    pub endpoint: Endpoint,
    /// Whether an engine may be started there.
    pub on_demand: bool,
}

/// The engine by `--host`, `WHARF_HOST`, `DOCKER_HOST`, the current context or the default socket, in this order;
/// `--context` comes before all of them.
pub fn find(app: &App) -> Outcome<Place> {
    let by_client = |error| Failure::from(error).by_client();
    let name = app.current_context()?;
    if name != context::DEFAULT {
        if app.globals.host.is_some() {
            return Err(Failure::new("conflicting options: either specify --host or --context, not both"));
        }
        let context = app.contexts().get(&name)?;
        let endpoint: Endpoint = context.host.parse().map_err(by_client)?;
        let endpoint = tls::of_context(&context)?.map_or(endpoint.clone(), |tls| endpoint.encrypted(tls));
        return Ok(Place { endpoint, on_demand: false });
    }
    let address = address(app).unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
    let endpoint: Endpoint = address.parse().map_err(by_client)?;
    let on_demand = endpoint == Endpoint::Unix(DEFAULT_SOCKET.into());
    let endpoint = match &endpoint {
        Endpoint::Tcp { .. } => tls::of_flags(app)?.map_or(endpoint.clone(), |tls| endpoint.encrypted(tls)),
        _ => endpoint,
    };
    Ok(Place { endpoint, on_demand })
}

/// The address that flags or environment name.
pub fn address(app: &App) -> Option<String> {
    let named = app.globals.host.clone();
    named.or_else(|| env::text(env::WHARF_HOST)).or_else(|| env::text(env::DOCKER_HOST))
}

impl Place {
    /// Starts an engine if none listens on the default socket; does nothing for any other place.
    pub async fn make_sure_of_engine(&self) -> Outcome<()> {
        if !self.on_demand || listens()? {
            return Ok(());
        }
        let _lock = lock_start()?; // of several clients only one starts an engine
        if listens()? {
            return Ok(());
        }
        start().await
    }
}

/// Whether somebody listens; refused and missing mean that nobody does.
fn listens() -> Outcome<bool> {
    match UnixStream::connect(DEFAULT_SOCKET) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(false),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Failure::new(format!(
            "permission denied while trying to connect to the engine at unix://{DEFAULT_SOCKET}"
        ))
        .with_hint("run the command as root, or become a member of the group that owns the socket")),
        Err(error) => Err(Failure::new(format!("cannot connect to the engine at unix://{DEFAULT_SOCKET}: {error}"))),
    }
}

fn lock_start() -> Outcome<File> {
    let path = Path::new(DEFAULT_RUN).join("start.lock");
    let open = || -> std::io::Result<File> {
        std::fs::create_dir_all(DEFAULT_RUN)?;
        OpenOptions::new().create(true).truncate(false).write(true).open(&path)
    };
    let file =
        open().map_err(|error| cannot_start(&format!("{}: {}", path.display(), crate::output::os_error(&error))))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
    Ok(file)
}

fn cannot_start(why: &str) -> Failure {
    let failure =
        Failure::new(format!("no engine listens on unix://{DEFAULT_SOCKET}, and one cannot be started: {why}"));
    if rustix::process::geteuid().is_root() {
        failure.with_hint("'wharf engine' in another terminal shows what is wrong")
    } else {
        failure.with_hint("containers need root: use sudo, or name another engine with --host")
    }
}

async fn start() -> Outcome<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(cannot_start("you are not root"));
    }
    let (mut child, mut log) = spawn().map_err(|error| cannot_start(&crate::output::os_error(&error)))?;
    let deadline = Instant::now() + PATIENCE;
    // It listens before it has opened its store; only an answer shows that it runs.
    while !(listens()? && answers().await) {
        if let Some(status) = child.try_wait()? {
            return Err(cannot_start(&last_words(&mut log).unwrap_or_else(|| status.to_string())));
        }
        if Instant::now() > deadline {
            return Err(cannot_start("it does not answer in time").with_hint(format!("see {DEFAULT_RUN}/engine.log")));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn answers() -> bool {
    Client::new(Endpoint::Unix(DEFAULT_SOCKET.into())).ping().await.is_ok()
}

/// Starts the engine in a session of its own, with a log in place of its output.
fn spawn() -> std::io::Result<(Child, File)> {
    let path = Path::new(DEFAULT_RUN).join("engine.log");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut reader = File::open(&path)?;
    reader.seek(SeekFrom::End(0))?;
    let child = Command::new("/proc/self/exe")
        .args(["engine", "--detached"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok((child, reader))
}

/// What an engine that ended wrote last.
fn last_words(log: &mut File) -> Option<String> {
    let mut text = String::new();
    log.read_to_string(&mut text).ok()?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let words = lines[lines.len().saturating_sub(3)..].join("\n");
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_and_only_the_default_socket_starts_an_engine() {
        let at = |host: &str| {
            let globals = crate::app::Globals { host: Some(host.to_owned()), ..crate::app::Globals::default() };
            find(&App::new("wharf", globals))
        };
        let place = at("unix:///tmp/x.sock").unwrap();
        assert_eq!((place.endpoint.to_string().as_str(), place.on_demand), ("unix:///tmp/x.sock", false));
        assert!(at("unix:///run/wharf.sock").unwrap().on_demand);
        assert!(at("nonsense").unwrap_err().message.contains("nonsense"));
    }
}
