//! Reads a command's words with clap, by the rules and in the words of Docker's own parser.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::commands::{Arity, Definition};
use crate::failure::Failure;
use crate::grammar::number;

/// The bare definition: what help, man pages and completion are made of.
pub fn command(definition: &Definition) -> Command {
    let name = definition.names[0].rsplit(' ').next().unwrap_or_default();
    let command = Command::new(name).about(definition.about).disable_help_flag(true).disable_help_subcommand(true);
    (definition.args)(command)
}

/// What was read, or that help is wanted.
pub enum Read {
    /// The words make sense.
    Matches(Box<ArgMatches>),
    /// `--help` was among them.
    Help,
}

/// Reads the words after the command's name. `called` is the program and the command as typed.
pub fn read(definition: &Definition, called: &str, words: &[String]) -> Result<Read, Failure> {
    let command = dialect(command(definition));
    let result = command.clone().try_get_matches_from(std::iter::once(&called.to_owned()).chain(words));
    let matches = result.map_err(|error| complaint(&command, definition, called, words, &error))?;
    if matches.get_flag("help") {
        return Ok(Read::Help);
    }
    check_arity(&command, definition, called, &matches)?;
    Ok(Read::Matches(Box::new(matches)))
}

/// Adapts a definition to how Docker reads flags: truth values take `=false`, the last of several counts, values may
/// begin with a dash, and commands without words of their own complain about them in their own way.
fn dialect(command: Command) -> Command {
    let has_words = command.get_positionals().next().is_some();
    let command = command.mut_args(|arg| match arg.get_action() {
        _ if arg.is_positional() => arg,
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(number::boolean),
        ArgAction::Set if arg.is_require_equals_set() => arg,
        _ => arg.allow_hyphen_values(true),
    });
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_parser(number::boolean);
    let words = Arg::new("words").num_args(0..).hide(true);
    let command = command.args_override_self(true).arg(help);
    if has_words { command } else { command.arg(words) }
}

fn check_arity(command: &Command, definition: &Definition, called: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let count: usize =
        command.get_positionals().filter_map(|arg| Some(matches.get_raw(arg.get_id().as_str())?.len())).sum();
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    let (wants, see) = match definition.arity {
        Arity::None if count > 0 => ("accepts no arguments".to_owned(), "Run"),
        Arity::Exactly(n) if count != n => (format!("requires {n} {}", plural(n)), "See"),
        Arity::AtLeast(n) if count < n => (format!("requires at least {n} {}", plural(n)), "See"),
        Arity::AtMost(n) if count > n => (format!("requires at most {n} {}", plural(n)), "See"),
        Arity::Between(least, most) if !(least..=most).contains(&count) => {
            (format!("requires at least {least} and at most {most} arguments"), "See")
        }
        _ => return Ok(()),
    };
    let program = called.split(' ').next().unwrap_or(called);
    let text = format!(
        "{program}: '{called}' {wants}\n\nUsage:  {called} {}\n\n{see} '{called} --help' for more information",
        definition.usage
    );
    Err(Failure::usage(text, 1))
}

/// What is wrong with a flag, in Docker's words.
fn complaint(
    command: &Command,
    definition: &Definition,
    called: &str,
    words: &[String],
    error: &clap::Error,
) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    let what = match error.kind() {
        ErrorKind::UnknownArgument => unknown(&argument, words),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("flag needs an argument: {}", short_in(command, &argument, words))
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let why = std::error::Error::source(error).map_or_else(|| "invalid value".to_owned(), ToString::to_string);
            format!("invalid argument {value:?} for {:?} flag: {why}", flag_name(command, &argument))
        }
        _ => error.render().to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    let text = format!("{what}\n\nUsage:  {called} {}\n\nRun '{called} --help' for more information", definition.usage);
    Failure::usage(text, 125)
}

fn unknown(argument: &str, words: &[String]) -> String {
    match argument.strip_prefix('-') {
        Some(short) if !short.starts_with('-') => {
            let letter = short.chars().next().unwrap_or('?');
            let within = |word: &&String| word.starts_with('-') && !word.starts_with("--") && word.contains(letter);
            let word = words.iter().find(within).map_or(argument, String::as_str);
            format!("unknown shorthand flag: '{letter}' in {word}")
        }
        _ => format!("unknown flag: {}", argument.split('=').next().unwrap_or(argument)),
    }
}

/// `-m, --memory` for what clap calls `--memory <bytes>`.
fn flag_name(command: &Command, shown: &str) -> String {
    let name = shown.split([' ', '=', '[']).next().unwrap_or(shown);
    let found = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| name == format!("--{long}")));
    match found.and_then(Arg::get_short) {
        Some(short) => format!("-{short}, {name}"),
        None => name.to_owned(),
    }
}

/// `--name`, or `'m' in -m` where the person typed the letter.
fn short_in(command: &Command, shown: &str, words: &[String]) -> String {
    let name = flag_name(command, shown);
    let Some((short, long)) = name.split_once(", ") else { return name };
    let letter = &short[1..];
    let typed = |word: &&String| word.starts_with('-') && !word.starts_with("--") && word.ends_with(letter);
    match words.last().filter(typed) {
        Some(word) => format!("'{letter}' in {word}"),
        None => long.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{Found, find};

    fn read_line(line: &str) -> Result<ArgMatches, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let Found::Command(definition, length) = find(&words) else { return Err("unknown".into()) };
        let called = format!("docker {}", words[..length].join(" "));
        match read(definition, &called, &words[length..]) {
            Ok(Read::Matches(matches)) => Ok(*matches),
            Ok(Read::Help) => Err("help".into()),
            Err(failure) => Err(failure.message.lines().next().unwrap_or_default().to_owned()),
        }
    }

    #[test]
    fn flags_are_read_by_dockers_rules() {
        for (line, flag, expected) in [
            ("run -it debian", "tty", true),
            ("run -it=false debian", "tty", false),
            ("run --tty=0 debian", "tty", false),
            ("run --tty --tty=false debian", "tty", false),
            ("run debian -t", "tty", false),
            ("run debian", "sig_proxy", true),
            ("run --sig-proxy=false debian", "sig_proxy", false),
            ("ps -aq", "all", true),
            ("container ls --all", "all", true),
            ("rm one -f", "force", true),
        ] {
            assert_eq!(read_line(line).unwrap().get_flag(flag), expected, "{line}");
        }
        let matches = read_line("run --name -x --name y -e A=-1 debian sh -c -x --rm").unwrap();
        assert_eq!(matches.get_one::<String>("name").unwrap(), "y");
        let words: Vec<&String> = matches.get_many("words").unwrap().collect();
        assert_eq!(words, ["debian", "sh", "-c", "-x", "--rm"]);
        assert!(!matches.get_flag("rm"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        for (line, expected) in [
            ("ps --foo", "unknown flag: --foo"),
            ("ps -x", "unknown shorthand flag: 'x' in -x"),
            ("ps -aqx", "unknown shorthand flag: 'x' in -aqx"),
            ("run --foo debian", "unknown flag: --foo"),
            ("run --memory x debian", "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'"),
            ("run --name", "flag needs an argument: --name"),
            ("run -e", "flag needs an argument: 'e' in -e"),
            (
                "run --rm=maybe debian",
                "invalid argument \"maybe\" for \"--rm\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            ("ps one", "docker: 'docker ps' accepts no arguments"),
            ("run", "docker: 'docker run' requires at least 1 argument"),
            ("rm", "docker: 'docker rm' requires at least 1 argument"),
            ("rename one", "docker: 'docker rename' requires 2 arguments"),
            ("diff", "docker: 'docker diff' requires 1 argument"),
            ("run --help", "help"),
            ("container nonsense", "unknown"),
        ] {
            assert_eq!(read_line(line).err().as_deref(), Some(expected), "{line}");
        }
    }
}
