//! `wharf runtime`, and the names `wharf-runtime`, `runc` and `crun`: the OCI runtime's command line, as others call it.
//!
//! One process without threads, that neither talks to an engine nor needs one.

mod commands;
mod foreground;
mod help;
mod show;
mod update;
mod words;

use std::ffi::{CString, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use wharf_runtime::oci::Store;
use wharf_types::{Error, Kind, Result};

use crate::output;
use words::Words;

/// Where containers are remembered unless `--root` says otherwise.
const ROOT: &str = "/run/wharf-runtime";

/// Flags before the command.
struct Globals {
    store: Store,
    log: Option<PathBuf>,
    json: bool,
    systemd_cgroup: bool,
}

/// Reads the words and does what they say.
pub fn main(called: &str, words: impl Iterator<Item = OsString>) -> ExitCode {
    let mut words: Vec<String> = match words.map(OsString::into_string).collect() {
        Ok(words) => words,
        Err(_) => {
            output::err("wharf runtime: the command line is not valid UTF-8\n");
            return ExitCode::from(1);
        }
    };
    let rest = match words::globals(&mut words) {
        Ok(globals) => globals,
        Err(error) => return fail(called, None, &error),
    };
    let globals = Globals {
        store: Store::new(rest.value("root").map_or_else(|| PathBuf::from(ROOT), PathBuf::from)),
        log: rest.value("log").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty()),
        json: rest.value("log-format") == Some("json"),
        systemd_cgroup: rest.is_on("systemd-cgroup") || rest.value("cgroup-manager") == Some("systemd"),
    };
    if rest.is_on("version") {
        return print(&version(called));
    }
    let Some(command) = words.first().cloned().filter(|word| word != "help") else {
        return print(&help::whole(called));
    };
    if rest.is_on("help") {
        return print(&help::whole(called));
    }
    match run(called, &globals, &command, &words[1..]) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(called, Some(&globals), &error),
    }
}

fn print(text: &str) -> ExitCode {
    ExitCode::from(u8::from(output::out(text).is_err()))
}

fn version(called: &str) -> String {
    let (own, spec) = (env!("CARGO_PKG_VERSION"), wharf_runtime::VERSION);
    format!("{called} version {own}\ncommit: wharf-{own}\nspec: {spec}\n")
}

fn run(called: &str, globals: &Globals, command: &str, words: &[String]) -> Result<u8> {
    let Some(flags) = words::FLAGS.iter().find(|(name, _)| *name == command).map(|(_, flags)| *flags) else {
        return Err(Error::invalid(format!("unknown command: {command}"))
            .with_hint(format!("'{called} --help' lists the commands")));
    };
    let words = Words::read(flags, words)?;
    if words.is_on("help") {
        return output::out(&help::of(called, command)).map(|()| 0).map_err(|_| Error::system("cannot write"));
    }
    match command {
        "create" | "run" | "exec" => {
            // What runs in the container must not be able to reach this program's file (CVE-2019-5736).
            become_unreachable()?;
            match command {
                "create" => commands::create(globals, &words),
                "run" => commands::run(globals, &words),
                _ => commands::exec(globals, &words),
            }
        }
        "start" => commands::start(globals, &words),
        "kill" => commands::kill(globals, &words),
        "delete" => commands::delete(globals, &words),
        "pause" => commands::freeze(globals, &words, true),
        "resume" => commands::freeze(globals, &words, false),
        "update" => update::update(globals, &words),
        "state" => show::state(globals, &words),
        "list" => show::list(globals, &words),
        "ps" => show::ps(globals, &words),
        "events" => show::events(globals, &words),
        "features" => show::document(&wharf_runtime::oci::features::features()),
        "spec" => show::spec(&words),
        _ => Err(Error::not_implemented(format!("{command} is not supported"))),
    }
}

/// Executes this program again from a read-only mount that exists nowhere else, unless it runs from one already.
fn become_unreachable() -> Result<()> {
    use rustix::fs::StatVfsMountFlags;
    let status = rustix::fs::statvfs("/proc/self/exe").map_err(std::io::Error::from)?;
    if status.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let executable = wharf_sys::exe::self_exe_readonly()?;
    if rustix::fs::fstatvfs(&executable).is_ok_and(|status| !status.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        // A sealed copy in memory is no less safe, but would be made again and again.
        if rustix::fs::readlink("/proc/self/exe", Vec::new()).is_ok_and(|name| name.as_bytes().starts_with(b"/memfd:"))
        {
            return Ok(());
        }
    }
    let text =
        |word: OsString| CString::new(word.as_bytes()).map_err(|_| Error::invalid("a word contains a zero byte"));
    let path = text(format!("/proc/self/fd/{}", executable.as_raw_fd()).into())?;
    let arguments = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let pairs = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        text(name)
    });
    let environment = pairs.collect::<Result<Vec<_>>>()?;
    Err(Error::from(wharf_sys::process::execute(&path, &arguments, &environment)))
}

/// Tells of a failure, on standard error and in the log that the caller reads.
fn fail(called: &str, globals: Option<&Globals>, error: &Error) -> ExitCode {
    let mut message = error.chain();
    if let Some(hint) = error.hint() {
        message.push_str(&format!(" ({hint})"));
    }
    output::err(&format!("{called}: {message}\n"));
    if let Some((path, globals)) = globals.and_then(|globals| Some((globals.log.as_ref()?, globals))) {
        let time = format!("{:.0}", jiff::Timestamp::now());
        let line = if globals.json {
            json!({ "level": "error", "msg": message, "time": time }).to_string()
        } else {
            format!("time={time:?} level=error msg={message:?}")
        };
        let file = std::fs::File::options().create(true).append(true).open(path);
        // Standard error has it already.
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()));
    }
    // What exec and run of others answer for a program that is not there.
    let code = match error.kind() {
        kind @ (Kind::CommandNotFound | Kind::CommandNotExecutable) => kind.start_exit_code(),
        _ => 1,
    };
    ExitCode::from(code)
}
