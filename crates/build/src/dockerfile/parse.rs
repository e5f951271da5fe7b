//! From a logical line to an instruction.

use super::flags::{Flags, nearest};
use super::heredoc::{Heredoc, raw_words};
use super::instruction::{Arg, Command, Health, HealthTest, Instruction, Kind, NAMES, Network, Pair, Run, Security};
use super::lines::Line;
use super::mount::Mount;
use super::source::Failure;
use super::transfer::{Origin, Transfer};

use wharf_types::parse_duration;

/// Reads one instruction; `FROM` is none.
///
/// # Errors
/// What cannot be read.
pub fn instruction(line: &Line, escape: char) -> Result<Instruction, Failure> {
    let (name, rest) = split_name(&line.text);
    let parser = Parser { name: name.to_ascii_uppercase(), escape, heredocs: &line.heredocs };
    let kind = parser.kind(rest).map_err(|refusal| refusal.at(line))?;
    Ok(Instruction { span: line.span, text: line.text.clone(), kind })
}

/// What `FROM` says: the base, the name of the stage, the platform.
pub(super) struct From {
    pub base: String,
    pub name: Option<String>,
    pub platform: Option<String>,
}

/// Reads a `FROM`.
pub(super) fn from(line: &Line, escape: char) -> Result<From, Failure> {
    let (_, rest) = split_name(&line.text);
    let read = || -> Result<From, Refusal> {
        let (mut flags, rest) = Flags::split(rest, escape)?;
        let platform = flags.one("platform")?;
        flags.end(&["platform"])?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words[..] {
            [base] => Ok(From { base: base.to_owned(), name: None, platform }),
            [base, word, name] if word.eq_ignore_ascii_case("as") => {
                let name = stage_name(name)?;
                Ok(From { base: base.to_owned(), name: Some(name), platform })
            }
            _ => Err("FROM requires either one or three arguments".to_owned().into()),
        }
    };
    read().map_err(|refusal| refusal.at(line))
}

fn stage_name(name: &str) -> Result<String, String> {
    let lower = name.to_lowercase();
    let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !valid {
        return Err(format!(
            "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
        ));
    }
    if lower == "context" || lower == "scratch" {
        return Err(format!("invalid name for build stage: {name:?}, name is reserved"));
    }
    Ok(lower)
}

/// The name of an instruction and the rest of its line.
pub(super) fn split_name(text: &str) -> (&str, &str) {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (name, rest.trim())
}

struct Refusal {
    message: String,
    hint: Option<String>,
}

impl Refusal {
    fn at(self, line: &Line) -> Failure {
        Failure { span: line.span, message: self.message, hint: self.hint }
    }
}

impl std::convert::From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, hint: None }
    }
}

struct Parser<'a> {
    name: String,
    escape: char,
    heredocs: &'a [Heredoc],
}

impl Parser<'_> {
    fn kind(&self, rest: &str) -> Result<Kind, Refusal> {
        let (mut flags, rest) = Flags::split(rest, self.escape)?;
        let (kind, known): (Kind, &[&str]) = match self.name.as_str() {
            "ADD" => {
                let known = &["chown", "chmod", "link", "keep-git-dir", "checksum", "exclude", "unpack"];
                (Kind::Add(self.transfer(&mut flags, rest, true)?), known)
            }
            "COPY" => {
                let known = &["from", "chown", "chmod", "link", "parents", "exclude"];
                (Kind::Copy(self.transfer(&mut flags, rest, false)?), known)
            }
            "RUN" => (Kind::Run(self.run(&mut flags, rest)?), &["mount", "network", "security"]),
            "HEALTHCHECK" => {
                let known = &["interval", "timeout", "start-period", "start-interval", "retries"];
                (Kind::Healthcheck(self.health(&mut flags, rest)?), known)
            }
            _ => (self.plain(rest)?, &[]),
        };
        flags.end(known)?;
        Ok(kind)
    }

    fn plain(&self, rest: &str) -> Result<Kind, Refusal> {
        Ok(match self.name.as_str() {
            "ARG" => Kind::Arg(self.args(rest)?),
            "CMD" => Kind::Cmd(command(rest)),
            "ENTRYPOINT" => Kind::Entrypoint(command(rest)),
            "ENV" => Kind::Env(self.pairs(rest)?),
            "LABEL" => Kind::Label(self.pairs(rest)?),
            "EXPOSE" => Kind::Expose(self.some(rest.split_whitespace().map(str::to_owned).collect())?),
            "MAINTAINER" => Kind::Maintainer(self.exactly_one(rest)?),
            "ONBUILD" => Kind::Onbuild(self.onbuild(rest)?),
            "SHELL" => Kind::Shell(self.shell(rest)?),
            "STOPSIGNAL" => Kind::Stopsignal(self.exactly_one(rest)?),
            "USER" => Kind::User(self.exactly_one(rest)?),
            "VOLUME" => Kind::Volume(self.volumes(rest)?),
            "WORKDIR" => Kind::Workdir(self.exactly_one(rest)?),
            other => return Err(unknown(other)),
        })
    }

    fn some(&self, words: Vec<String>) -> Result<Vec<String>, String> {
        if words.is_empty() { Err(format!("{} requires at least one argument", self.name)) } else { Ok(words) }
    }

    fn exactly_one(&self, rest: &str) -> Result<String, String> {
        if rest.is_empty() { Err(format!("{} requires exactly one argument", self.name)) } else { Ok(rest.to_owned()) }
    }

    fn volumes(&self, rest: &str) -> Result<Vec<String>, String> {
        let words = self.some(list(rest))?;
        match words.iter().any(|word| word.is_empty()) {
            true => Err("VOLUME specified can not be an empty string".into()),
            false => Ok(words),
        }
    }

    fn shell(&self, rest: &str) -> Result<Vec<String>, String> {
        match json(rest) {
            Some(words) => self.some(words),
            None => Err("SHELL requires the arguments to be in JSON form".into()),
        }
    }

    fn onbuild(&self, rest: &str) -> Result<String, Refusal> {
        let trigger = self.exactly_one(rest).map_err(|_| "ONBUILD requires at least one argument".to_owned())?;
        let (name, _) = split_name(&trigger);
        let name = name.to_ascii_uppercase();
        match name.as_str() {
            "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned().into()),
            "MAINTAINER" | "FROM" => Err(format!("{name} isn't allowed as an ONBUILD trigger").into()),
            name if !NAMES.contains(&name) => Err(unknown(name)),
            _ => Ok(trigger),
        }
    }

    fn args(&self, rest: &str) -> Result<Vec<Arg>, String> {
        let words = self.some(raw_words(rest, self.escape))?;
        let arg = |word: String| {
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if name.is_empty() { Err("ARG names can not be blank".to_owned()) } else { Ok(Arg { name, default }) }
        };
        words.into_iter().map(arg).collect()
    }

    /// `name=value …`, or of old `name value` with all the rest as the value.
    fn pairs(&self, rest: &str) -> Result<Vec<Pair>, String> {
        let words = self.some(raw_words(rest, self.escape))?;
        if !words[0].contains('=') {
            let Some((name, value)) = rest.split_once(char::is_whitespace) else {
                return Err(format!("{} must have two arguments", self.name));
            };
            return Ok(vec![Pair { name: name.to_owned(), value: value.trim_start().to_owned(), legacy: true }]);
        }
        let pair = |word: String| match word.split_once('=') {
            Some(("", _)) => Err(format!("{} names can not be blank", self.name)),
            Some((name, value)) => Ok(Pair { name: name.to_owned(), value: value.to_owned(), legacy: false }),
            None => Err(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")),
        };
        words.into_iter().map(pair).collect()
    }

    fn run(&self, flags: &mut Flags, rest: &str) -> Result<Run, Refusal> {
        let mounts = flags.many("mount")?;
        for mount in &mounts {
            check_mount(mount)?;
        }
        let network = match flags.one("network")?.as_deref() {
            None | Some("default") => Network::Default,
            Some("none") => Network::None,
            Some("host") => Network::Host,
            Some(other) => return Err(format!("unsupported network mode {other:?}").into()),
        };
        let security = match flags.one("security")?.as_deref() {
            None | Some("sandbox") => Security::Sandbox,
            Some("insecure") => Security::Insecure,
            Some(other) => return Err(format!("security {other:?} is not valid").into()),
        };
        if rest.is_empty() {
            return Err("RUN requires at least one argument".to_owned().into());
        }
        let command = if self.heredocs.is_empty() { command(rest) } else { Command::Shell(rest.to_owned()) };
        Ok(Run { command, heredocs: self.heredocs.to_vec(), mounts, network, security })
    }

    fn transfer(&self, flags: &mut Flags, rest: &str, is_add: bool) -> Result<Transfer, Refusal> {
        let mut words = list(rest);
        let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
            let sentence =
                "requires at least two arguments, but only one was provided. Destination could not be determined";
            return Err(format!("{} {sentence}", self.name).into());
        };
        if Heredoc::start(&destination, self.escape).is_some() && !self.heredocs.is_empty() {
            return Err(format!("{} cannot accept a heredoc as a destination", self.name).into());
        }
        let mut heredocs = self.heredocs.iter();
        let origin = |word: String| match Heredoc::start(&word, self.escape) {
            Some(_) if !self.heredocs.is_empty() => {
                heredocs.next().cloned().map_or(Origin::Path(word), Origin::Heredoc)
            }
            _ => Origin::Path(word),
        };
        let mut transfer =
            Transfer { sources: words.into_iter().map(origin).collect(), destination, ..Transfer::default() };
        transfer.chown = flags.one("chown")?;
        transfer.chmod = flags.one("chmod")?;
        transfer.link = flags.switch("link")?.unwrap_or(false);
        transfer.excludes = flags.many("exclude")?;
        if is_add {
            transfer.keep_git_dir = flags.switch("keep-git-dir")?.unwrap_or(false);
            transfer.checksum = flags.one("checksum")?;
            transfer.unpack = flags.switch("unpack")?;
        } else {
            transfer.from = flags.one("from")?;
            transfer.parents = flags.switch("parents")?.unwrap_or(false);
        }
        Ok(transfer)
    }

    fn health(&self, flags: &mut Flags, rest: &str) -> Result<Health, Refusal> {
        let (kind, arguments) = split_name(rest);
        if kind.is_empty() {
            return Err("HEALTHCHECK requires at least one argument".to_owned().into());
        }
        let mut health = Health::default();
        match kind.to_ascii_uppercase().as_str() {
            "NONE" if arguments.is_empty() => return Ok(health),
            "NONE" => return Err("HEALTHCHECK NONE takes no arguments".to_owned().into()),
            "CMD" if arguments.is_empty() => {
                return Err("Missing command after HEALTHCHECK CMD".to_owned().into());
            }
            "CMD" => health.test = HealthTest::Command(command(arguments)),
            other => return Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)").into()),
        }
        health.interval = time(flags, "interval")?;
        health.timeout = time(flags, "timeout")?;
        health.start_period = time(flags, "start-period")?;
        health.start_interval = time(flags, "start-interval")?;
        if let Some(text) = flags.one("retries")? {
            let count =
                text.parse::<i64>().map_err(|_| format!("invalid value for --retries: {text:?} is no number"))?;
            if count < 0 {
                return Err(format!("--retries cannot be negative ({count})").into());
            }
            health.retries = count;
        }
        Ok(health)
    }
}

fn time(flags: &mut Flags, name: &str) -> Result<i64, String> {
    let Some(text) = flags.one(name)? else { return Ok(0) };
    let nanos = parse_duration(&text).map_err(|_| format!("invalid value for --{name}: {text:?} is no duration"))?;
    match nanos {
        0 => Ok(0),
        nanos if nanos < 1_000_000 => Err(format!("Interval {name:?} cannot be less than 1ms")),
        nanos => Ok(nanos),
    }
}

/// What needs no variables is checked at once.
fn check_mount(text: &str) -> Result<(), String> {
    if text.contains('$') {
        let from = text.split(',').find_map(|field| field.strip_prefix("from=")).unwrap_or_default();
        if from.contains('$') {
            return Err(format!("'from' doesn't support variable expansion, define alias stage instead: {from}"));
        }
        return Ok(());
    }
    Mount::parse(text, &|text| Ok(text.to_owned())).map(drop)
}

fn unknown(name: &str) -> Refusal {
    let message = format!("unknown instruction: {name}");
    let hint = nearest(name, &NAMES).map(|near| format!("did you mean {near}?"));
    Refusal { message, hint }
}

/// A JSON list of strings is the command itself; all else is for the shell.
fn command(rest: &str) -> Command {
    match json(rest) {
        Some(words) => Command::Exec(words),
        None => Command::Shell(rest.to_owned()),
    }
}

fn json(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten()
}

/// A JSON list or words.
fn list(rest: &str) -> Vec<String> {
    json(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect())
}
