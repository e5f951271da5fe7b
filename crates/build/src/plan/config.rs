//! What instructions make of an image's configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wharf_image::{Health, ImageConfig};

use crate::dockerfile::{Command, Health as HealthInstruction, HealthTest};

/// The shell of images that name none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A command as the configuration has it.
pub fn command(config: &ImageConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => in_shell(config, text),
    }
}

/// A text for the image's shell.
pub fn in_shell(config: &ImageConfig, text: &str) -> Vec<String> {
    let mut words: Vec<String> =
        if config.shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { config.shell.clone() };
    words.push(text.to_owned());
    words
}

pub fn health(config: &ImageConfig, health: &HealthInstruction) -> Health {
    let test = match &health.test {
        HealthTest::None => vec!["NONE".to_owned()],
        HealthTest::Command(Command::Shell(text)) => vec!["CMD-SHELL".to_owned(), text.clone()],
        HealthTest::Command(Command::Exec(words)) => std::iter::once("CMD".to_owned()).chain(words.clone()).collect(),
    };
    let _ = config;
    Health {
        test,
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    }
}

/// Sets `name=value`, in the place of an earlier one.
pub fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    match env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
        Some(known) => *known = line,
        None => env.push(line),
    }
}

/// The ports of one word of `EXPOSE`: `80`, `80/udp`, `8000-8010/tcp`; a host's part before a colon means nothing.
pub fn ports(word: &str) -> Result<Vec<String>, String> {
    let bad = || format!("invalid containerPort: {word}");
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let range = range.rsplit(':').next().unwrap_or(range);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// A set in Docker's form: names with empty objects.
pub fn add_to_set(set: &mut BTreeMap<String, Value>, name: String) {
    set.insert(name, Value::Object(Map::new()));
}

/// A signal's name or number, as Docker accepts it.
pub fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 35] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
    ];
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = bare.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    number || NAMES.contains(&bare) || bare.starts_with("RTMIN+") || bare.starts_with("RTMAX")
}
