//! The commands that change a container.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use wharf_runtime::oci::{self, ExecRequest, Manner};
use wharf_runtime::{Child, Stdio};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::words::Words;
use super::{Globals, foreground};

fn manner(globals: &Globals, words: &Words, wait: bool) -> Result<Manner> {
    Ok(Manner {
        id: words.id()?.to_owned(),
        bundle: words.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from),
        systemd_cgroup: globals.systemd_cgroup,
        no_pivot: words.is_on("no-pivot"),
        no_new_keyring: words.is_on("no-new-keyring"),
        kept_descriptors: words.number("preserve-fds")?.unwrap_or(0),
        wait,
    })
}

pub fn create(globals: &Globals, words: &Words) -> Result<u8> {
    let console = Console::of(words);
    let manner = manner(globals, words, true)?;
    let mut created = oci::create(&globals.store, &manner, |tty| console.stdio(tty, false))?;
    let handed = console.hand_over(&mut created.init.child).and_then(|_none| write_pid(words, created.record.pid));
    handed.inspect_err(|_| discard(globals, &manner.id))?;
    Ok(0)
}

pub fn run(globals: &Globals, words: &Words) -> Result<u8> {
    let console = Console::of(words);
    let detach = words.is_on("detach");
    let manner = manner(globals, words, false)?;
    let signals = if detach { None } else { Some(foreground::Signals::block()?) };
    let mut created = oci::create(&globals.store, &manner, |tty| console.stdio(tty, !detach))?;
    let handed = console.hand_over(&mut created.init.child);
    let handed = handed.and_then(|terminal| write_pid(words, created.record.pid).map(|()| terminal));
    let terminal = handed.inspect_err(|_| discard(globals, &manner.id))?;
    let Some(signals) = signals else { return Ok(0) };
    let code = foreground::wait(&created.init.child, terminal, &signals)?;
    if !words.is_on("keep") {
        oci::delete(&globals.store, &manner.id, true)?;
    }
    Ok(code)
}

/// The failure to tell is the one before.
fn discard(globals: &Globals, id: &str) {
    let _gone = oci::delete(&globals.store, id, true);
}

pub fn start(globals: &Globals, words: &Words) -> Result<u8> {
    oci::start(&globals.store, words.id()?).map(|()| 0)
}

pub fn kill(globals: &Globals, words: &Words) -> Result<u8> {
    let signal = words.rest.get(1).map_or("SIGTERM", String::as_str);
    oci::kill(&globals.store, words.id()?, signal_number(signal)?, words.is_on("all")).map(|()| 0)
}

pub fn delete(globals: &Globals, words: &Words) -> Result<u8> {
    let force = words.is_on("force");
    // Callers put the flag behind the id as well.
    let late = words.rest.get(1).is_some_and(|word| matches!(word.as_str(), "--force" | "-f"));
    oci::delete(&globals.store, words.id()?, force || late).map(|()| 0)
}

pub fn freeze(globals: &Globals, words: &Words, frozen: bool) -> Result<u8> {
    use wharf_runtime::oci::Status;
    let container = globals.store.open(words.id()?)?;
    let group = container.group()?;
    match (container.status(), frozen) {
        (Status::Running | Status::Created, true) => group.freeze(),
        (Status::Paused, false) => group.thaw(),
        (_, true) => Err(Error::conflict("container not running or created")),
        (_, false) => Err(Error::conflict("container not paused")),
    }
    .map(|()| 0)
}

pub fn exec(globals: &Globals, words: &Words) -> Result<u8> {
    let console = Console::of(words);
    let detach = words.is_on("detach");
    let request = exec_request(words)?;
    let signals = if detach { None } else { Some(foreground::Signals::block()?) };
    let mut child = oci::exec(&globals.store, words.id()?, &request, |tty| console.stdio(tty, !detach))?;
    let terminal = console.hand_over(&mut child)?;
    write_pid(words, child.pid())?;
    signals.map_or(Ok(0), |signals| foreground::wait(&child, terminal, &signals))
}

fn exec_request(words: &Words) -> Result<ExecRequest> {
    let process = words.value("process").map(|path| {
        let json = fs::read(path).with_context(|| format!("cannot read {path}"))?;
        serde_json::from_slice(&json)
            .map_err(|error| Error::invalid(format!("{path} is not a process")).caused_by(error))
    });
    if words.value("cgroup").is_some_and(|cgroup| !cgroup.is_empty() && cgroup != "/") {
        return Err(Error::not_implemented("exec --cgroup is not supported"));
    }
    let id = |text: &str| text.parse::<u32>().map_err(|_| Error::invalid(format!("invalid user or group: {text:?}")));
    let user = words.value("user").map(|user| -> Result<(u32, u32)> {
        match user.split_once(':') {
            Some((uid, gid)) => Ok((id(uid)?, id(gid)?)),
            None => Ok((id(user)?, 0)),
        }
    });
    Ok(ExecRequest {
        process: process.transpose()?,
        args: words.rest.get(1..).unwrap_or_default().to_vec(),
        cwd: words.value("cwd").map(str::to_owned),
        env: words.values("env").to_vec(),
        tty: words.is_on("tty"),
        user: user.transpose()?,
        additional_gids: words.values("additional-gids").iter().map(|gid| id(gid)).collect::<Result<_>>()?,
        capabilities: words.values("cap").to_vec(),
        no_new_privileges: words.is_on("no-new-privs"),
        apparmor: words.value("apparmor").map(str::to_owned),
        label: words.value("process-label").map(str::to_owned),
        kept_descriptors: words.number("preserve-fds")?.unwrap_or(0),
        ignore_paused: words.is_on("ignore-paused"),
    })
}

/// Who gets a process's terminal.
struct Console<'a> {
    socket: Option<&'a str>,
}

impl<'a> Console<'a> {
    fn of(words: &'a Words) -> Self {
        Self { socket: words.value("console-socket").filter(|path| !path.is_empty()) }
    }

    /// The process's streams: a terminal, or this process's own.
    fn stdio(&self, tty: bool, in_front: bool) -> Result<Stdio> {
        match (tty, self.socket) {
            (true, None) if !in_front => {
                Err(Error::invalid("cannot allocate tty if runc will detach without setting console socket"))
            }
            (false, Some(_)) if !in_front => {
                Err(Error::invalid("cannot use console socket if runc will not detach or allocate tty"))
            }
            (true, _) => Ok(Stdio::Terminal),
            (false, _) => {
                let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
                let streams = || -> std::io::Result<Stdio> {
                    Ok(Stdio::streams(
                        own(rustix::stdio::stdin())?,
                        own(rustix::stdio::stdout())?,
                        own(rustix::stdio::stderr())?,
                    ))
                };
                streams().context("cannot duplicate the standard streams")
            }
        }
    }

    /// Sends the terminal to whoever listens on the console socket; otherwise it is for this process.
    fn hand_over(&self, child: &mut Child) -> Result<Option<OwnedFd>> {
        let Some((socket, terminal)) = self.socket.zip(child.take_terminal()) else {
            return Ok(child.take_terminal());
        };
        let failed = || format!("cannot hand the terminal to {socket}");
        let connection = UnixStream::connect(socket).with_context(failed)?;
        wharf_sys::packet::send(&connection, b"/dev/pts/ptmx", &[terminal.as_fd()]).with_context(failed)?;
        Ok(None)
    }
}

/// Written aside and renamed: who waits for the file must not find half of it.
fn write_pid(words: &Words, pid: i32) -> Result<()> {
    let Some(path) = words.value("pid-file").filter(|path| !path.is_empty()).map(Path::new) else { return Ok(()) };
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let aside = path.with_file_name(name);
    let written = fs::write(&aside, pid.to_string()).and_then(|()| fs::rename(&aside, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A signal by name, with or without `SIG`, or by number.
fn signal_number(text: &str) -> Result<i32> {
    let unknown = || Error::new(Kind::InvalidParameter, format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |from: &str, base: i32, sign: i32| {
        let offset = bare.strip_prefix(from)?;
        if offset.is_empty() { Some(base) } else { offset.parse::<i32>().ok().map(|offset| base + sign * offset) }
    };
    let found = SIGNALS.iter().position(|name| *name == bare).map(|index| index as i32 + 1);
    let found = found.or_else(|| real_time("RTMIN+", 34, 1).or_else(|| real_time("RTMAX-", 64, -1)));
    let found = found.or(match bare {
        "RTMIN" => Some(34),
        "RTMAX" => Some(64),
        "IOT" => Some(6),
        "CLD" => Some(17),
        "POLL" => Some(29),
        _ => None,
    });
    found.filter(|number| (1..=64).contains(number)).ok_or_else(unknown)
}

/// In the kernel's order on x86 and ARM (signal(7)).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_go_by_name_and_number() {
        for (text, number) in
            [("KILL", 9), ("sigterm", 15), ("0", 0), ("64", 64), ("SYS", 31), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
        {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "65", "-1", "FLY", "RTMIN+99"] {
            assert!(signal_number(bad).is_err(), "{bad}");
        }
    }
}
