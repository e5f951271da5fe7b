//! The last steps before a program runs, the same for a container's first process and for an exec.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Gid, Mode, Uid, fchown, fstat, major, minor};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use wharf_sys::process::{clone_process, close_on_exec_from, reset_signals};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::user::{self, Identity};
use super::{hooks, privileges, program, reaper, report, terminal};
use crate::channel::Newborn;
use crate::spec::{Hook, Process};
use crate::stdio::Stdio;

/// Which process, and how.
pub(crate) struct Start<'a> {
    pub(crate) process: &'a Process,
    /// Process 1 of the container, not an exec.
    pub(crate) first: bool,
    /// Stay as a minimal init and run the program as a child.
    pub(crate) init: bool,
    /// Wait there before the program is executed.
    pub(crate) gate: Option<OwnedFd>,
    /// What runs just before the program, if there is a gate.
    pub(crate) hooks: &'a [Hook],
}

impl<'a> Start<'a> {
    /// A further process of a container.
    pub(crate) fn exec(process: &'a Process) -> Self {
        Self { process, first: false, init: false, gate: None, hooks: &[] }
    }
}

/// Nothing of this process (its executable, its descriptors) is open to others in the container until the program runs
/// (CVE-2019-5736).
pub(crate) fn shield() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from).context("prctl failed")
}

/// Becomes the program; returns only on failure, which the caller has been told of.
pub(crate) fn start(mut start: Start<'_>, stdio: Stdio, channel: &mut Newborn) -> Error {
    if start.init {
        return start_under_init(&mut start, stdio, channel);
    }
    match become_program(&mut start, stdio, channel) {
        Err(error) => report(channel, error),
        Ok(never) => match never {},
    }
}

/// The program is a child; this process, in the same confinement, waits for it and reaps what is left behind.
fn start_under_init(start: &mut Start<'_>, stdio: Stdio, channel: &mut Newborn) -> Error {
    let process = start.process;
    let prepared = reaper::prepare().context("cannot prepare the init");
    if let Err(error) = prepared {
        return report(channel, error);
    }
    let child = || match become_program(start, stdio, channel) {
        Err(error) => {
            channel.report(&error);
            i32::from(error.kind().start_exit_code())
        }
        Ok(never) => match never {},
    };
    let confined = clone_process(0, None, child).context("cannot start the program").and_then(|(pid, _pidfd)| {
        let identity = user::find(process)?;
        privileges::confine(process, &identity, None, false)?;
        Ok(pid)
    });
    match confined {
        Ok(pid) => reaper::run(pid),
        Err(error) => report(channel, error),
    }
}

enum Never {}

fn become_program(start: &mut Start<'_>, stdio: Stdio, channel: &mut Newborn) -> Result<Never> {
    let process = start.process;
    if !process.keep_keyring {
        leave_keyring()?;
    }
    let identity = user::find(process)?;
    rustix::process::setsid().map_err(io::Error::from).context("cannot make a session")?;
    install_stdio(start, stdio, &identity, channel)?;
    privileges::set_limits(process)?;
    privileges::set_scheduling(process)?;
    enter_folder(process, start.first)?;
    let environment = environment(process, &identity)?;
    let arguments = strings(&process.argv, "an argument")?;
    let path = program::find(process)?;
    if let Some(gate) = start.gate.take() {
        let state = channel.wait_at(&gate)?;
        hooks::run(start.hooks, &state).context("a startContainer hook failed")?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask.unwrap_or(0o022)));
    close_on_exec_from(3 + process.kept_descriptors).context("cannot mark descriptors")?;
    reset_signals().context("cannot reset signals")?;
    channel.announce()?;
    privileges::confine(process, &identity, Some(channel), start.init)?;
    Err(program::execute(&path, &arguments, &environment))
}

/// Without key rings in the kernel there is none to be kept from.
fn leave_keyring() -> Result<()> {
    match wharf_sys::keyring::new_session() {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
            Err(error).context("cannot make a session key ring")
        }
        _ => Ok(()),
    }
}

fn install_stdio(start: &Start<'_>, stdio: Stdio, identity: &Identity, channel: &Newborn) -> Result<()> {
    let is_terminal = matches!(stdio, Stdio::Terminal);
    let [stdin, stdout, stderr] = match stdio {
        Stdio::Streams { stdin, stdout, stderr } => [stdin, stdout, stderr],
        Stdio::Terminal => terminal::allocate(start, channel)?,
    };
    let above = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let place = || -> rustix::io::Result<()> {
        let (stdin, stdout, stderr) = (above(stdin)?, above(stdout)?, above(stderr)?);
        rustix::stdio::dup2_stdin(&stdin)?;
        rustix::stdio::dup2_stdout(&stdout)?;
        rustix::stdio::dup2_stderr(&stderr)?;
        Ok(())
    };
    place().map_err(io::Error::from).context("cannot set standard input and output")?;
    if is_terminal {
        wharf_sys::terminal::make_controlling(rustix::stdio::stdin()).context("cannot take the terminal")?;
    }
    give_stdio_to(identity);
    Ok(())
}

/// The program may open /dev/stdout anew, for which it must own what is behind it. Where that cannot be had (a read-only
/// file system, a user namespace) the program still has the descriptors.
fn give_stdio_to(identity: &Identity) {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(status) = fstat(fd.as_fd()) else { continue };
        let is_null = FileType::from_raw_mode(status.st_mode).is_char_device()
            && (major(status.st_rdev), minor(status.st_rdev)) == (1, 3);
        if status.st_uid != identity.uid && !is_null {
            let _best_effort = fchown(fd, Some(Uid::from_raw(identity.uid)), None::<Gid>);
        }
    }
}

/// Enters the working folder, and makes sure that it is inside the container: a descriptor of the host that slipped in
/// could be one's way out (CVE-2024-21626).
fn enter_folder(process: &Process, make: bool) -> Result<()> {
    let path = if process.cwd.is_empty() { "/" } else { &process.cwd };
    let mut entered = std::env::set_current_dir(path);
    if make && entered.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        std::fs::create_dir_all(path).with_context(|| format!("cannot make the working folder {path:?}"))?;
        entered = std::env::set_current_dir(path);
    }
    entered.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::CommandNotFound,
            io::ErrorKind::PermissionDenied => Kind::CommandNotExecutable,
            _ => Kind::InvalidParameter,
        };
        Error::new(kind, format!("chdir to cwd ({path:?}) failed: {}", program::plain(&error)))
    })?;
    let present =
        rustix::process::getcwd(Vec::new()).map_err(io::Error::from).context("cannot find the working folder")?;
    if present.to_bytes().first() != Some(&b'/') {
        return Err(Error::forbidden("the working folder is outside the container"));
    }
    Ok(())
}

fn environment(process: &Process, identity: &Identity) -> Result<Vec<CString>> {
    let mut environment = strings(&process.env, "an environment variable")?;
    if !process.env.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.extend(strings(&[format!("HOME={}", identity.home)], "the home folder")?);
    }
    Ok(environment)
}

fn strings(texts: &[String], what: &str) -> Result<Vec<CString>> {
    let convert = |text: &String| CString::new(text.as_str());
    let all: std::result::Result<Vec<_>, _> = texts.iter().map(convert).collect();
    all.map_err(|error| Error::invalid(format!("{what} contains a zero byte")).caused_by(error))
}
