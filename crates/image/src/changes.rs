//! `--change` of import and commit: the Dockerfile instructions that change a configuration.

use serde_json::{Map, Value};
use wharf_types::{Error, Result};

use crate::words::{expand, words};
use crate::{Health, ImageConfig};

/// Applies Dockerfile instructions to a configuration, in order.
///
/// # Errors
/// `InvalidParameter` for an instruction that cannot be read or changes more than the configuration.
pub fn apply_changes(config: &mut ImageConfig, changes: &[String]) -> Result<()> {
    let mut has_cmd = false;
    for change in changes.iter().map(|change| change.trim()).filter(|change| !change.is_empty()) {
        let (name, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
        let name = name.to_ascii_uppercase();
        Instruction { config, name: &name, rest: rest.trim(), has_cmd }.apply()?;
        has_cmd |= name == "CMD";
    }
    Ok(())
}

struct Instruction<'a> {
    config: &'a mut ImageConfig,
    name: &'a str,
    rest: &'a str,
    /// Whether `CMD` came before, so that `ENTRYPOINT` does not clear it.
    has_cmd: bool,
}

impl Instruction<'_> {
    fn apply(mut self) -> Result<()> {
        if self.rest.is_empty() && !matches!(self.name, "CMD" | "ENTRYPOINT") {
            return Err(Error::invalid(format!("{} requires at least one argument", self.name)));
        }
        match self.name {
            "CMD" => self.config.cmd = Some(self.command()),
            "ENTRYPOINT" => self.entrypoint(),
            "ENV" => self.env()?,
            "EXPOSE" => self.expose()?,
            "HEALTHCHECK" => self.config.healthcheck = Some(self.healthcheck()?),
            "LABEL" => self.label()?,
            "ONBUILD" => self.config.on_build.push(self.rest.to_owned()),
            "STOPSIGNAL" => self.config.stop_signal = self.expanded(self.rest),
            "USER" => self.config.user = self.expanded(self.rest),
            "VOLUME" => self.volume()?,
            "WORKDIR" => self.workdir(),
            other => {
                let hint = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and \
                            WORKDIR can";
                return Err(Error::invalid(format!("{other} is not a valid change command")).with_hint(hint));
            }
        }
        Ok(())
    }

    fn expanded(&self, text: &str) -> String {
        expand(text, &self.config.env)
    }

    /// A JSON list of strings is the command itself; all else is for the shell.
    fn command(&self) -> Vec<String> {
        if let Some(list) = self.list() {
            return list;
        }
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        let mut command = if self.config.shell.is_empty() { default() } else { self.config.shell.clone() };
        command.push(self.rest.to_owned());
        command
    }

    fn list(&self) -> Option<Vec<String>> {
        if self.rest.is_empty() { Some(Vec::new()) } else { serde_json::from_str(self.rest).ok() }
    }

    fn entrypoint(&mut self) {
        self.config.entrypoint = Some(self.command()).filter(|command| !command.is_empty());
        if !self.has_cmd {
            self.config.cmd = None;
        }
    }

    fn env(&mut self) -> Result<()> {
        for (name, value) in self.pairs()? {
            let prefix = format!("{name}=");
            let line = format!("{prefix}{value}");
            match self.config.env.iter_mut().find(|known| known.starts_with(&prefix)) {
                Some(known) => *known = line,
                None => self.config.env.push(line),
            }
        }
        Ok(())
    }

    fn label(&mut self) -> Result<()> {
        let pairs = self.pairs()?;
        self.config.labels.extend(pairs);
        Ok(())
    }

    /// `name=value …`, or of old `name value` with all the rest as the value.
    fn pairs(&self) -> Result<Vec<(String, String)>> {
        let first = self.rest.split(char::is_whitespace).next().unwrap_or_default();
        if !first.contains('=') {
            let (name, value) = self.rest.split_once(char::is_whitespace).unwrap_or((self.rest, ""));
            if value.is_empty() {
                return Err(Error::invalid(format!("{} must have two arguments", self.name)));
            }
            return Ok(vec![(name.to_owned(), self.expanded(value.trim_start()))]);
        }
        let pair = |word: String| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => {
                Err(Error::invalid(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
            }
        };
        words(self.rest, &self.config.env)?.into_iter().map(pair).collect()
    }

    fn expose(&mut self) -> Result<()> {
        for word in words(self.rest, &self.config.env)? {
            let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let protocol = protocol.to_ascii_lowercase();
            let ports = first.parse::<u16>().ok().zip(last.parse::<u16>().ok()).filter(|(a, b)| 0 < *a && a <= b);
            let is_known = matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
            let Some((first, last)) = ports.filter(|_| is_known) else {
                return Err(Error::invalid(format!("invalid containerPort: {word}")));
            };
            let names = (first..=last).map(|port| (format!("{port}/{protocol}"), Value::Object(Map::new())));
            self.config.exposed_ports.extend(names);
        }
        Ok(())
    }

    fn volume(&mut self) -> Result<()> {
        let paths = match self.list() {
            Some(list) => list,
            None => words(self.rest, &self.config.env)?,
        };
        for path in paths {
            if path.trim().is_empty() {
                return Err(Error::invalid("VOLUME specified can not be an empty string"));
            }
            self.config.volumes.insert(self.expanded(path.trim()), Value::Object(Map::new()));
        }
        Ok(())
    }

    fn workdir(&mut self) {
        let path = self.expanded(self.rest);
        let joined = if path.starts_with('/') { path } else { format!("{}/{path}", self.config.working_dir) };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        self.config.working_dir = format!("/{}", parts.join("/"));
    }

    fn healthcheck(&self) -> Result<Health> {
        let mut health = Health::default();
        let mut rest = self.rest;
        while let Some(option) = rest.strip_prefix("--") {
            let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
            set_option(&mut health, option)?;
            rest = after.trim_start();
        }
        let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let command = command.trim();
        health.test = match (kind.to_ascii_uppercase().as_str(), command) {
            ("NONE", "") => vec!["NONE".to_owned()],
            ("NONE", _) => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
            ("CMD", "") => return Err(Error::invalid("Missing command after HEALTHCHECK CMD")),
            ("CMD", command) => match serde_json::from_str::<Vec<String>>(command) {
                Ok(list) => std::iter::once("CMD".to_owned()).chain(list).collect(),
                Err(_) => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            },
            (other, _) => {
                return Err(Error::invalid(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")));
            }
        };
        Ok(health)
    }
}

fn set_option(health: &mut Health, option: &str) -> Result<()> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let bad = || Error::invalid(format!("HEALTHCHECK: --{name}={value} cannot be read"));
    let time = || duration(value).ok_or_else(bad);
    match name {
        "interval" => health.interval = time()?,
        "timeout" => health.timeout = time()?,
        "start-period" => health.start_period = time()?,
        "start-interval" => health.start_interval = time()?,
        "retries" => health.retries = value.parse().ok().filter(|n| *n >= 0).ok_or_else(bad)?,
        _ => return Err(Error::invalid(format!("Unknown flag: {name}"))),
    }
    Ok(())
}

/// A length of time in nanoseconds, such as `1m30s` or `1.5h`; it has no sign.
fn duration(text: &str) -> Option<i64> {
    (!text.starts_with(['+', '-'])).then(|| wharf_types::parse_duration(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ImageConfig> {
        let mut config = ImageConfig { cmd: Some(vec!["old".into()]), ..ImageConfig::default() };
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply_changes(&mut config, &changes).map(|()| config)
    }

    fn list(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn commands_come_as_a_list_or_for_the_shell() {
        assert_eq!(changed(&[r#"CMD ["a", "b c"]"#]).unwrap().cmd, list(&["a", "b c"]));
        assert_eq!(changed(&["cmd a b"]).unwrap().cmd, list(&["/bin/sh", "-c", "a b"]));
        let config = changed(&[r#"ENTRYPOINT ["e"]"#]).unwrap();
        assert_eq!((config.entrypoint, config.cmd), (list(&["e"]), None));
        assert_eq!(changed(&[r#"CMD ["a"]"#, r#"ENTRYPOINT ["e"]"#]).unwrap().cmd, list(&["a"]));
    }

    #[test]
    fn variables_are_set_replaced_and_used() {
        let config =
            changed(&["ENV A=1 B=\"two words\" C='$A'", "ENV A=2", "ENV D ${B} end", "WORKDIR /x$A", "WORKDIR y/.."]);
        let config = config.unwrap();
        assert_eq!(config.env, ["A=2", "B=two words", "C=$A", "D=two words end"]);
        assert_eq!(config.working_dir, "/x2");
    }

    #[test]
    fn everything_else_of_a_configuration_is_set() {
        let config = changed(&[
            "EXPOSE 80 8000-8001/UDP",
            "LABEL a=b \"c d\"=e",
            "USER root:wheel",
            "VOLUME /a /b",
            r#"VOLUME ["/c d"]"#,
            "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x",
        ])
        .unwrap();
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "8000/udp", "8001/udp"]);
        assert_eq!(config.labels["c d"], "e");
        assert_eq!((config.user.as_str(), config.stop_signal.as_str()), ("root:wheel", "SIGQUIT"));
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
        assert_eq!(config.on_build, ["RUN x"]);
        let health = config.healthcheck.unwrap();
        assert_eq!((health.interval, health.retries), (90_000_000_000, 3));
        assert_eq!(health.test, ["CMD-SHELL", "curl x"]);
    }

    #[test]
    fn what_changes_more_than_the_configuration_is_refused() {
        for bad in ["RUN x", "FROM y", "EXPOSE http", "ENV A", "ENV", "LABEL =x", "HEALTHCHECK --x=1 CMD y", "ENV A='b"]
        {
            assert!(changed(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, nanos) in [
            ("1s", Some(1_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5ms", Some(1_500_000)),
            ("x", None),
            ("", None),
            ("5", None),
        ] {
            assert_eq!(duration(text), nanos, "{text}");
        }
    }
}
