//! Finding and executing the program, with Docker's words for what can go wrong.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::io::Errno;
use wharf_types::{Error, Kind, Result};

use crate::spec::Process;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The path of the program: as it is when it has a slash, otherwise from the container's `PATH`.
pub(super) fn find(process: &Process) -> Result<CString> {
    let Some(name) = process.argv.first().filter(|name| !name.is_empty()) else {
        return Err(Error::invalid("no command specified").with_hint("name a command after the image"));
    };
    let path = if name.contains('/') { judge(name)? } else { search(name, process)? };
    CString::new(path).map_err(|error| Error::invalid("the program's name contains a zero byte").caused_by(error))
}

fn search(name: &str, process: &Process) -> Result<String> {
    let path = process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let candidates = path.split(':').filter(|folder| folder.starts_with('/'));
    let found =
        candidates.map(|folder| format!("{}/{name}", folder.trim_end_matches('/'))).find(|path| is_program(path));
    found
        .ok_or_else(|| Error::new(Kind::CommandNotFound, format!("exec: {name:?}: executable file not found in $PATH")))
}

fn is_program(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|status| status.is_file() && status.mode() & 0o111 != 0)
}

/// A path that cannot be a program is refused with the reason before anything irrevocable happens.
fn judge(name: &str) -> Result<String> {
    let refuse = |kind, reason: &str| Err(Error::new(kind, format!("exec: {name:?}: {reason}")));
    match std::fs::metadata(name) {
        Ok(status) if status.is_dir() => refuse(Kind::CommandNotExecutable, "is a directory"),
        Ok(status) if status.mode() & 0o111 == 0 || status.file_type().is_char_device() => {
            refuse(Kind::CommandNotExecutable, "permission denied")
        }
        Ok(_) => Ok(name.to_owned()),
        Err(error) => refuse(kind_of(&error), &format!("stat {name}: {}", plain(&error))),
    }
}

/// Executes the program; the error is what is left to say when that failed.
pub(super) fn execute(path: &CString, arguments: &[CString], environment: &[CString]) -> Error {
    let error = wharf_sys::process::execute(path, arguments, environment);
    let path = path.to_string_lossy();
    let failure = Error::new(kind_of(&error), format!("exec {path}: {}", plain(&error)));
    match error.kind() {
        // The file itself was there a moment ago.
        io::ErrorKind::NotFound => failure.with_hint("the interpreter or the dynamic loader it names is missing"),
        _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            failure.with_hint("it is built for another processor, or a script without a #! line")
        }
        _ => failure,
    }
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::CommandNotFound,
        io::ErrorKind::ArgumentListTooLong => Kind::InvalidParameter,
        io::ErrorKind::OutOfMemory => Kind::Exhausted,
        _ => Kind::CommandNotExecutable,
    }
}

/// An error's text in lower case and without its number, as the C library's users know it.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_error(argv: &str, env: &[&str]) -> (Kind, String) {
        let env = env.iter().map(|entry| (*entry).to_owned()).collect();
        let process = Process { argv: vec![argv.to_owned()], env, ..Process::default() };
        let error = find(&process).unwrap_err();
        (error.kind(), error.chain())
    }

    #[test]
    fn failures_are_told_in_the_words_that_clients_parse() {
        let not_found = Kind::CommandNotFound;
        let not_executable = Kind::CommandNotExecutable;
        let cases = [
            ("nonsense", not_found, "exec: \"nonsense\": executable file not found in $PATH"),
            ("/nonsense", not_found, "exec: \"/nonsense\": stat /nonsense: no such file or directory"),
            ("/etc/passwd", not_executable, "exec: \"/etc/passwd\": permission denied"),
            ("/etc", not_executable, "exec: \"/etc\": is a directory"),
        ];
        for (argv, kind, text) in cases {
            assert_eq!(find_error(argv, &["PATH=/bin:/etc"]), (kind, text.to_owned()));
        }
    }

    #[test]
    fn the_last_path_counts_and_relative_folders_do_not() {
        let env = ["PATH=/nowhere".to_owned(), "PATH=.:/bin/".to_owned()].to_vec();
        let process = Process { argv: vec!["sh".to_owned()], env, ..Process::default() };
        assert_eq!(find(&process).unwrap().to_str().unwrap(), "/bin/sh");
    }
}
