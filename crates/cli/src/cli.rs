//! The command line of the client: global flags, the command, its run.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::app::{App, Globals, version_of};
use crate::commands::{self, Found};
use crate::failure::{Failure, Outcome};
use crate::{engine_main, help, output, plugins, runtime_main, usage};

/// Reads the words, runs the command and answers with its exit code.
pub fn main(program: &'static str, words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    if words.first().is_some_and(|word| word == "engine") {
        return engine_main::main(engine_main::Called::Engine, words.into_iter().skip(1));
    }
    if program == "wharf" && words.first().is_some_and(|word| word == "runtime") {
        return runtime_main::main("wharf runtime", words.into_iter().skip(1));
    }
    let app = App::new(program, Globals::default());
    let Ok(words) = words.into_iter().map(OsString::into_string).collect::<Result<Vec<_>, _>>() else {
        app.report(&Failure::new("the command line is not valid UTF-8"));
        return ExitCode::from(1);
    };
    match dispatch(program, &words) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            app.report(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(program: &'static str, words: &[String]) -> Outcome {
    let line = globals(program, words)?;
    let rest = &words[line.consumed..];
    if line.version {
        return print(&version(program));
    }
    if line.help || rest.is_empty() {
        return program_help(program, line.globals);
    }
    let (wants_help, rest) = match rest.split_first() {
        Some((first, others)) if first == "help" => (true, others),
        _ => (false, rest),
    };
    match commands::find(rest) {
        Found::Nothing if rest.is_empty() => program_help(program, line.globals),
        Found::Nothing => {
            let app = App::new(program, line.globals);
            match plugins::find(&app, &rest[0]) {
                Some(plugin) if wants_help => {
                    plugins::run(&app, &plugin, &[&rest[..1], &["--help".to_owned()]].concat())
                }
                Some(plugin) => plugins::run(&app, &plugin, rest),
                None => Err(unknown(program, &rest[0])),
            }
        }
        Found::Group(group) => group_help(program, group, &rest[1..]),
        Found::Command(definition, length) => {
            let called = format!("{program} {}", rest[..length].join(" "));
            let read = usage::read(definition, &called, &rest[length..]);
            let read = if wants_help { Ok(usage::Read::Help) } else { read };
            match read? {
                usage::Read::Help => print(&help::of_command(definition, program, &called)),
                usage::Read::Matches(matches) => run(&App::new(program, line.globals), definition, *matches),
            }
        }
    }
}

fn run(app: &App, definition: &commands::Definition, matches: clap::ArgMatches) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on((definition.run)(app, matches));
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    result
}

/// Help of the program, with the commands that other programs add.
fn program_help(program: &'static str, globals: Globals) -> Outcome {
    let mut text = help::of_program(program);
    let plugins = plugins::names(&App::new(program, globals));
    if !plugins.is_empty() {
        text.push_str(&format!("\nCommands of plugins: {}\n", plugins.join(", ")));
    }
    print(&text)
}

fn group_help(program: &str, group: &str, words: &[String]) -> Outcome {
    match words.first() {
        None => print(&help::of_group(group, program)),
        Some(word) if matches!(word.as_str(), "--help" | "help") => print(&help::of_group(group, program)),
        Some(word) => Err(Failure::usage(
            format!(
                "{program}: unknown command: {program} {group} {word}\n\nUsage:  {program} {group}\n\n\
                 Run '{program} {group} --help' for more information"
            ),
            1,
        )),
    }
}

fn unknown(program: &str, word: &str) -> Failure {
    let text = format!("{program}: unknown command: {program} {word}\n\nRun '{program} --help' for more information");
    Failure::usage(text, 1)
}

fn print(text: &str) -> Outcome {
    output::out(text).map(|()| 0)
}

fn version(program: &str) -> String {
    let (name, version) = (if program == "docker" { "Docker" } else { "wharf" }, version_of(program));
    format!("{name} version {version}, build wharf-{}\n", env!("CARGO_PKG_VERSION"))
}

/// What stands before the command.
struct Line {
    globals: Globals,
    help: bool,
    version: bool,
    consumed: usize,
}

/// Reads the flags before the command. There are few, so this does without clap.
fn globals(program: &str, words: &[String]) -> Result<Line, Failure> {
    let mut line = Line { globals: Globals::default(), help: false, version: false, consumed: 0 };
    let bad = |what: String| {
        let usage = format!("Usage:  {program} [OPTIONS] COMMAND [ARG...]");
        Failure::usage(format!("{what}\n\n{usage}\n\nRun '{program} --help' for more information"), 125)
    };
    let mut i = 0;
    while let Some(word) = words.get(i).filter(|word| word.starts_with('-') && word.len() > 1) {
        i += 1;
        if word == "--" {
            break;
        }
        let (name, attached) = split(word);
        let mut value = || -> Result<String, Failure> {
            if let Some(value) = attached {
                return Ok(value.to_owned());
            }
            i += 1;
            words.get(i - 1).cloned().ok_or_else(|| bad(format!("flag needs an argument: {name}")))
        };
        match name {
            "-H" | "--host" => line.globals.host = Some(value()?),
            "--config" => line.globals.config = Some(value()?),
            "-c" | "--context" => line.globals.context = Some(value()?),
            "-l" | "--log-level" => drop(value()?),
            "--tlscacert" => line.globals.tls.authorities = Some(value()?),
            "--tlscert" => line.globals.tls.certificate = Some(value()?),
            "--tlskey" => line.globals.tls.key = Some(value()?),
            "-D" | "--debug" => line.globals.debug = attached != Some("false"),
            "--tls" => line.globals.tls.tls = attached != Some("false"),
            "--tlsverify" => line.globals.tls.verify = Some(attached != Some("false")),
            "-v" | "--version" => line.version = true,
            "-h" | "--help" => line.help = true,
            _ if name.starts_with("--") => return Err(bad(format!("unknown flag: {name}"))),
            _ => {
                let letter = name.chars().nth(1).unwrap_or('?');
                return Err(bad(format!("unknown shorthand flag: '{letter}' in {word}")));
            }
        }
    }
    line.consumed = i;
    line.globals.words = words[..i].to_vec();
    Ok(line)
}

/// A flag's name and the value that hangs on it: `--host=x`, `-Hx`, `-H=x`.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    let at = word.char_indices().nth(2).map_or(word.len(), |(at, _)| at);
    let (name, value) = word.split_at(at);
    (name, (!value.is_empty()).then(|| value.strip_prefix('=').unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Line, Failure> {
        globals("wharf", &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_before_the_command_are_read() {
        for line in ["-H unix:///a -D ps -a", "--host=unix:///a --debug ps -H x", "-Hunix:///a -D -- ps"] {
            let read = read(line).unwrap();
            assert_eq!((read.globals.host.as_deref(), read.globals.debug), (Some("unix:///a"), true), "{line}");
            assert_eq!(line.split(' ').nth(read.consumed), Some("ps"), "{line}");
        }
        assert!(read("--version").unwrap().version && read("-v").unwrap().version && read("--help ps").unwrap().help);
    }

    #[test]
    fn unknown_ones_are_refused_in_dockers_words() {
        let message = |line: &str| read(line).err().unwrap().message.lines().next().unwrap().to_owned();
        assert_eq!(message("-x ps"), "unknown shorthand flag: 'x' in -x");
        assert_eq!(message("--foo=1"), "unknown flag: --foo");
        assert_eq!(message("-H"), "flag needs an argument: -H");
        let read = read("--context prod --tlsverify --tlscacert /ca ps").unwrap().globals;
        assert_eq!((read.context.as_deref(), read.tls.verify), (Some("prod"), Some(true)));
    }
}
