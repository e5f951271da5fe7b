//! Makes a container from its description: network, cgroup, streams, process. A failure leaves nothing.

use std::os::fd::{AsRawFd, OwnedFd};

use jiff::Timestamp;
use wharf_network::plan::SandboxPlan;
use wharf_network::{Blank, Sandbox};
use wharf_runtime::cgroup::Group;
use wharf_runtime::spec::{Namespace, UserNamespace};
use wharf_runtime::{Init, Starting, Stdio};
use wharf_types::{Error, Result, ResultExt};

use crate::dns::NameServer;
use crate::log::Log;
use crate::poll::Poll;
use crate::protocol::{HealthPlan, MonitorSpec, Streams};
use crate::relay::Relays;
use crate::session::{Ends, Session};
use crate::stdio;

/// The key of the first process's session.
pub(crate) const FIRST: u32 = 0;

/// A container that runs.
pub(crate) struct Running {
    /// Its first process.
    pub session: Session,
    /// Its network.
    pub sandbox: Sandbox,
    /// Its cgroup.
    pub cgroup: Group,
    /// Holds its mounts.
    pub mounts: Option<OwnedFd>,
    /// When it started, RFC 3339 with nanoseconds.
    pub started_at: String,
    /// Whether it has a PID namespace of its own.
    pub own_pids: bool,
    /// How to find out whether it is healthy.
    pub health: Option<HealthPlan>,
    /// Its name server.
    pub names: Option<NameServer>,
    /// The ports whose bytes are passed on.
    pub relays: Relays,
}

/// Starts the container, in the `blank` network namespace if it needs one. The clients are attached before its program
/// runs, so that they see all of its output.
///
/// # Errors
/// Those of the runtime, the network and the log file; everything that had been made is gone again.
pub(crate) fn start(
    poll: &Poll,
    mut spec: MonitorSpec,
    clients: Vec<(OwnedFd, Streams)>,
    blank: Option<Blank>,
) -> Result<Running> {
    let log = Log::open(poll, &spec.log, spec.log_stdin).map_err(|error| {
        error.with_hint("make sure that the log file's folder exists and has space, or choose another log driver")
    })?;
    // Its namespaces belong to the user namespace, so that must come first; held until they are made.
    let users = own_users(&mut spec)?;
    let blank = match &users {
        Some(users) if matches!(spec.sandbox, SandboxPlan::Own { .. }) => {
            Some(Blank::of(wharf_runtime::make_network_namespace(users)?)?)
        }
        _ => blank,
    };
    let sandbox = Sandbox::create_in(spec.sandbox.clone(), blank)?;
    // The child is cloned inside the sandbox and must not make a network namespace of its own.
    spec.container.namespaces.network = Namespace::Host;
    let around = |sandbox: &mut Sandbox| launch(poll, &spec, sandbox);
    let (sandbox, Launched { init, ends, names, relays }) = with_sandbox(sandbox, around)?;
    let Init { child, cgroup, mounts } = init;
    let session = Session::new(poll, FIRST, child, ends, spec.stdin_once);
    let mut session = match session {
        Ok(session) => session,
        Err(error) => return Err(abandon(error, sandbox, &cgroup)),
    };
    session.log = log;
    clients.into_iter().for_each(|(socket, streams)| session.attach(socket, streams));
    let own_pids = spec.container.namespaces.pid == Namespace::New;
    let health = spec.health;
    Ok(Running { session, sandbox, cgroup, mounts, started_at: now(), own_pids, names, relays, health })
}

/// Makes the container's user namespace, if it is to have a new one, and names it in the specification by descriptor.
fn own_users(spec: &mut MonitorSpec) -> Result<Option<OwnedFd>> {
    let Some(UserNamespace::New(mapping)) = &spec.container.namespaces.user else { return Ok(None) };
    let users = wharf_runtime::make_user_namespace(mapping)?;
    let path = format!("/proc/self/fd/{}", users.as_raw_fd());
    spec.container.namespaces.user = Some(UserNamespace::Path(path.into()));
    Ok(Some(users))
}

/// The present time, RFC 3339 with nanoseconds.
pub(crate) fn now() -> String {
    format!("{:.9}", Timestamp::now())
}

/// Runs `action`; closes the sandbox if it fails.
fn with_sandbox<T>(mut sandbox: Sandbox, action: impl FnOnce(&mut Sandbox) -> Result<T>) -> Result<(Sandbox, T)> {
    match action(&mut sandbox) {
        Ok(value) => Ok((sandbox, value)),
        Err(error) => Err(with_problems(error, &sandbox.close())),
    }
}

/// The first process, and what serves it.
struct Launched {
    init: Init,
    ends: Ends,
    names: Option<NameServer>,
    relays: Relays,
}

fn launch(poll: &Poll, spec: &MonitorSpec, sandbox: &mut Sandbox) -> Result<Launched> {
    let tty = spec.container.process.tty;
    let (stdio, ends) = if tty { (Stdio::Terminal, Ends::default()) } else { stdio::pipes(spec.open_stdin, true)? };
    let starting = clone_inside(spec, sandbox, stdio)?;
    // The child mounts while this goes on; dropping `starting` undoes it.
    sandbox.configure()?;
    let names = spec.names.clone().map(|plan| NameServer::open(poll, sandbox, plan)).transpose()?;
    let mut relays = Relays::default();
    relays.listen(poll, sandbox)?;
    let mut init = starting.release()?;
    match ends_of(&mut init, ends, tty, spec.open_stdin) {
        Ok(ends) => Ok(Launched { init, ends, names, relays }),
        Err(error) => Err(kill(error, &init)),
    }
}

fn clone_inside(spec: &MonitorSpec, sandbox: &Sandbox, stdio: Stdio) -> Result<Starting> {
    let inside = sandbox.enter()?;
    let starting = Starting::begin(&spec.container, stdio);
    inside.leave().context("cannot come back from the container's network namespace")?;
    starting
}

fn ends_of(init: &mut Init, pipes: Ends, tty: bool, open_stdin: bool) -> Result<Ends> {
    if !tty {
        return Ok(pipes);
    }
    let master = init.child.take_terminal().ok_or_else(|| Error::system("the container's terminal did not arrive"))?;
    let mut ends = stdio::terminal(master)?;
    ends.stdin.take_if(|_| !open_stdin);
    Ok(ends)
}

fn kill(error: Error, init: &Init) -> Error {
    let killed = init.child.kill(9).and_then(|()| init.child.wait());
    let problems: Vec<_> = killed.err().into_iter().chain(init.cgroup.remove().err()).collect();
    with_problems(error, &problems)
}

fn abandon(error: Error, sandbox: Sandbox, cgroup: &Group) -> Error {
    let mut problems: Vec<_> = cgroup.kill_all().err().into_iter().collect();
    problems.extend(cgroup.remove().err());
    problems.extend(sandbox.close());
    with_problems(error, &problems)
}

/// Says in the hint what could not be undone, if anything.
fn with_problems(error: Error, problems: &[Error]) -> Error {
    if problems.is_empty() {
        return error;
    }
    let left: Vec<_> = problems.iter().map(Error::chain).collect();
    let hint = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
    error.with_hint(format!("{hint}not everything could be undone: {}", left.join("; ")))
}
