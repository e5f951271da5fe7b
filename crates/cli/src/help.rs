//! Help texts in the shape of Docker's, made from the definitions.

use clap::{ArgAction, Command};

use crate::commands::{Definition, GROUPS, all};

/// Commands that most people need most.
const COMMON: [&str; 5] = ["run", "exec", "ps", "images", "version"];
const COMMON_LAST: [&str; 1] = ["info"];

/// Flags before the command: name, value, what it is.
const GLOBALS: [(&str, &str); 11] = [
    ("    --config string", "Folder of the client's configuration"),
    ("-c, --context string", "Engine to talk to, by the name that 'context create' gave it"),
    ("-D, --debug", "Say more about what happens"),
    ("-H, --host string", "Engine to talk to (unix:///run/wharf.sock, tcp://HOST:PORT, ssh://USER@HOST)"),
    ("-l, --log-level string", "Accepted for Docker's sake; what goes wrong is always said"),
    ("    --tls", "Speak TLS to the engine; --tlsverify implies it"),
    ("    --tlscacert string", "Believe engines with a certificate of this authority (~/.docker/ca.pem)"),
    ("    --tlscert string", "One's own certificate (~/.docker/cert.pem)"),
    ("    --tlskey string", "Its key (~/.docker/key.pem)"),
    ("    --tlsverify", "Speak TLS and check who answers"),
    ("-v, --version", "Print the version and quit"),
];

/// Help of one command. `called` is the program and the command as typed.
pub fn of_command(definition: &Definition, program: &str, called: &str) -> String {
    command_in(definition, program, called, width())
}

fn command_in(definition: &Definition, program: &str, called: &str, width: usize) -> String {
    let mut out = format!("Usage:  {called} {}\n\n{}\n", definition.usage, definition.about);
    if definition.names.len() > 1 {
        let names: Vec<String> = definition.names.iter().map(|name| format!("{program} {name}")).collect();
        out.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    let flags = flags(&crate::usage::command(definition));
    if !flags.is_empty() {
        out.push_str("\nOptions:\n");
        out.push_str(&two_columns(&flags, width));
    }
    out
}

/// Help of a group of commands, as `container`.
pub fn of_group(group: &str, program: &str) -> String {
    let about = GROUPS.iter().find(|(name, _)| *name == group).map_or("", |(_, about)| about);
    let mut rows: Vec<(String, String)> = all()
        .filter_map(|d| Some((d.names[0].strip_prefix(group)?.strip_prefix(' ')?.to_owned(), d.about.to_owned())))
        .filter(|(name, _)| !matches!(name.as_str(), "man" | "dial-stdio"))
        .collect();
    rows.sort();
    let name = format!("{program} {group}");
    format!(
        "Usage:  {name} COMMAND\n\n{about}\n\nCommands:\n{}\nRun '{name} COMMAND --help' for more information on a command.\n",
        commands(&rows)
    )
}

/// Help of the whole program.
pub fn of_program(program: &str) -> String {
    program_in(program, width())
}

fn program_in(program: &str, width: usize) -> String {
    let mut common = Vec::new();
    let mut rest = Vec::new();
    for definition in all() {
        for name in definition.names.iter().filter(|name| !name.contains(' ')) {
            let row = ((*name).to_owned(), definition.about.to_owned());
            if COMMON.contains(name) || COMMON_LAST.contains(name) { common.push(row) } else { rest.push(row) }
        }
    }
    let rank = |row: &(String, String)| COMMON.iter().chain(&COMMON_LAST).position(|name| *name == row.0);
    common.sort_by_key(rank);
    rest.sort();
    let groups: Vec<(String, String)> = GROUPS.iter().map(|(n, a)| ((*n).to_owned(), (*a).to_owned())).collect();
    let globals: Vec<(String, String)> = GLOBALS.iter().map(|(n, a)| ((*n).to_owned(), (*a).to_owned())).collect();
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nBuilds container images, moves them and runs them\n\n\
         Common Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\nGlobal Options:\n{}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        commands(&common),
        commands(&groups),
        commands(&rest),
        two_columns(&globals, width),
    )
}

fn commands(rows: &[(String, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(9);
    rows.iter().map(|(name, about)| format!("  {name:widest$}   {about}\n")).collect()
}

/// `-a, --all` or `    --name string`, and what the flag is about.
fn flags(command: &Command) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()) {
        let short = arg.get_short().map_or("    ".to_owned(), |short| format!("-{short}, "));
        let long = arg.get_long().unwrap_or_default();
        let value = value_kind(arg);
        let name = format!("{short}--{long}{}{value}", if value.is_empty() { "" } else { " " });
        rows.push((long.to_owned(), name, arg.get_help().map(ToString::to_string).unwrap_or_default()));
    }
    rows.sort();
    rows.into_iter().map(|(_, name, about)| (name, about)).collect()
}

/// What a flag's value is: as the definition says, otherwise a list or a string by how often it may be given.
pub fn value_kind(arg: &clap::Arg) -> String {
    if matches!(arg.get_action(), ArgAction::SetTrue) || arg.is_require_equals_set() {
        return String::new();
    }
    let given = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    match given {
        Some(name) if name != arg.get_id().as_str().to_uppercase() => name,
        _ if matches!(arg.get_action(), ArgAction::Append) => "list".into(),
        _ => "string".into(),
    }
}

fn two_columns(rows: &[(String, String)], width: usize) -> String {
    let left = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let indent = left + 5;
    let room = width.saturating_sub(indent).max(24);
    let mut out = String::new();
    for (name, about) in rows {
        for (i, line) in wrap(about, room).iter().enumerate() {
            if i == 0 {
                out.push_str(&format!("  {name:left$}   {line}\n"));
            } else {
                out.push_str(&format!("{:indent$}{line}\n", ""));
            }
        }
    }
    out
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            let line = &mut lines[last];
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

/// The terminal's width; 80 where there is none.
fn width() -> usize {
    crate::env::columns()
        .or_else(|| crate::terminal::raw::size().map(|(_, columns)| usize::from(columns)))
        .unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_every_command_reads_well() {
        let mut text = program_in("wharf", 80);
        for (group, _) in GROUPS {
            text.push_str(&format!("\n=== wharf {group}\n\n{}", of_group(group, "wharf")));
        }
        for definition in all() {
            let called = format!("wharf {}", definition.names[definition.names.len() - 1]);
            text.push_str(&format!("\n=== {called}\n\n{}", command_in(definition, "wharf", &called, 80)));
        }
        insta::assert_snapshot!(text);
    }

    /// The list of Docker's flags is no part of this project; where it lies beside it, ours must be complete.
    #[test]
    fn every_flag_of_docker_is_there() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/cli-flags.tsv");
        let Ok(list) = std::fs::read_to_string(path) else {
            return println!("SKIPPED: the list of docker's flags is not at {path}");
        };
        let mut missing = Vec::new();
        for line in list.lines().skip(1) {
            let mut columns = line.split('\t');
            let (Some(command), Some(flag)) = (columns.next(), columns.next()) else { continue };
            let name = command.trim_start_matches("docker ");
            let Some(definition) = all().find(|d| d.names.contains(&name)) else { continue };
            let known = crate::usage::command(definition);
            let long = flag.trim_start_matches("--");
            if !flag.is_empty() && long != "help" && !known.get_arguments().any(|arg| arg.get_long() == Some(long)) {
                missing.push(format!("{command} {flag}"));
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
