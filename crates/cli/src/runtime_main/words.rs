//! The words of the runtime's command line, in the manner that callers of runc are used to: flags with one or two dashes,
//! values attached by `=` or following.

use std::collections::BTreeMap;

use wharf_types::{Error, Result};

/// A flag: its names, the proper one first, and whether a value belongs to it.
pub type Flag = (&'static [&'static str], bool);

const HELP: Flag = (&["help", "h"], false);
const BUNDLE: Flag = (&["bundle", "b"], true);
const CONSOLE: Flag = (&["console-socket"], true);
const PID_FILE: Flag = (&["pid-file"], true);
const NO_PIVOT: Flag = (&["no-pivot"], false);
const NO_KEYRING: Flag = (&["no-new-keyring"], false);
const PRESERVE: Flag = (&["preserve-fds"], true);
const DETACH: Flag = (&["detach", "d"], false);
const FORMAT: Flag = (&["format", "f"], true);
const FORCE: Flag = (&["force", "f"], false);

const GLOBALS: &[Flag] = &[
    HELP,
    (&["version", "v"], false),
    (&["debug"], false),
    (&["root"], true),
    (&["log"], true),
    (&["log-format"], true),
    (&["systemd-cgroup"], false),
    (&["cgroup-manager"], true),
    (&["rootless"], true),
    (&["criu"], true),
];

/// The flags of each command.
pub const FLAGS: &[(&str, &[Flag])] = &[
    ("create", &[HELP, BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE, (&["no-subreaper"], false)]),
    (
        "run",
        &[
            HELP,
            BUNDLE,
            CONSOLE,
            PID_FILE,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            DETACH,
            (&["no-subreaper"], false),
            (&["keep"], false),
        ],
    ),
    (
        "exec",
        &[
            HELP,
            CONSOLE,
            PID_FILE,
            PRESERVE,
            DETACH,
            (&["cwd"], true),
            (&["env", "e"], true),
            (&["tty", "t"], false),
            (&["user", "u"], true),
            (&["additional-gids", "g"], true),
            (&["process", "p"], true),
            (&["process-label"], true),
            (&["apparmor"], true),
            (&["no-new-privs"], false),
            (&["cap", "c"], true),
            (&["cgroup"], true),
            (&["ignore-paused"], false),
            (&["no-subreaper"], false),
        ],
    ),
    ("start", &[HELP]),
    ("state", &[HELP]),
    ("kill", &[HELP, (&["all", "a"], false)]),
    ("delete", &[HELP, FORCE]),
    ("pause", &[HELP]),
    ("resume", &[HELP]),
    ("list", &[HELP, FORMAT, (&["quiet", "q"], false)]),
    ("ps", &[HELP, FORMAT]),
    ("events", &[HELP, (&["stats"], false), (&["interval"], true)]),
    ("features", &[HELP]),
    ("spec", &[HELP, BUNDLE, (&["rootless"], false)]),
    (
        "update",
        &[
            HELP,
            (&["resources", "r"], true),
            (&["memory", "memory-limit"], true),
            (&["memory-reservation"], true),
            (&["memory-swap"], true),
            (&["cpu-period"], true),
            (&["cpu-quota"], true),
            (&["cpu-burst"], true),
            (&["cpu-share", "cpu-shares"], true),
            (&["cpu-rt-period"], true),
            (&["cpu-rt-runtime"], true),
            (&["cpu-idle"], true),
            (&["cpuset-cpus"], true),
            (&["cpuset-mems"], true),
            (&["pids-limit"], true),
            (&["blkio-weight"], true),
        ],
    ),
    ("checkpoint", &[HELP]),
    ("restore", &[HELP]),
];

/// The words of one command: its flags and what stands beside them.
#[derive(Debug, Default)]
pub struct Words {
    flags: BTreeMap<&'static str, Vec<String>>,
    /// Everything that is no flag.
    pub rest: Vec<String>,
}

/// Takes the flags before the command out of `words`.
pub fn globals(words: &mut Vec<String>) -> Result<Words> {
    let mut found = Words::default();
    let used = found.take(GLOBALS, words)?;
    words.drain(..used);
    Ok(found)
}

impl Words {
    /// Reads the words behind a command. What follows the first word that is no flag belongs to the container, if it is
    /// about one; until then flags may stand anywhere.
    pub fn read(flags: &[Flag], words: &[String]) -> Result<Self> {
        let mut found = Self::default();
        let used = found.take(flags, words)?;
        found.rest = words[used..].to_vec();
        Ok(found)
    }

    /// Reads flags from the front of `words`: how many words those were.
    fn take(&mut self, flags: &[Flag], words: &[String]) -> Result<usize> {
        let mut used = 0;
        while let Some(word) = words.get(used).filter(|word| word.len() > 1 && word.starts_with('-')) {
            used += 1;
            if word == "--" {
                break;
            }
            let bare = word.strip_prefix("--").unwrap_or(&word[1..]);
            let (name, attached) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            let Some((names, takes_value)) = flags.iter().find(|(names, _)| names.contains(&name)) else {
                return Err(Error::invalid(format!("flag provided but not defined: -{name}")));
            };
            let value = match attached {
                Some(value) => value,
                None if *takes_value => {
                    used += 1;
                    let next = words.get(used - 1).cloned();
                    next.ok_or_else(|| Error::invalid(format!("flag needs an argument: --{name}")))?
                }
                None => "true".to_owned(),
            };
            self.flags.entry(names[0]).or_default().push(value);
        }
        Ok(used)
    }

    /// A flag's last value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// All of a flag's values.
    pub fn values(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a flag without a value was given.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// A flag's number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Error::invalid(format!("invalid value {text:?} for flag --{name}: not a number")))
        };
        self.value(name).map(parse).transpose()
    }

    /// The container's id, which is the first word.
    pub fn id(&self) -> Result<&str> {
        self.rest.first().map(String::as_str).ok_or_else(|| Error::invalid("a container ID is required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str, line: &str) -> Result<Words> {
        let flags = FLAGS.iter().find(|(name, _)| *name == command).unwrap().1;
        Words::read(flags, &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_come_in_every_form() {
        let words = of("exec", "-t --env A=1 -e=B=2 --pid-file /p -user 1:2 box ls -l").unwrap();
        assert!(words.is_on("tty") && !words.is_on("detach"));
        assert_eq!(words.values("env"), ["A=1", "B=2"]);
        assert_eq!((words.value("pid-file"), words.value("user")), (Some("/p"), Some("1:2")));
        assert_eq!((words.id().unwrap(), &words.rest[1..]), ("box", &["ls".to_owned(), "-l".to_owned()][..]));
        assert!(of("create", "--nonsense").is_err() && of("create", "--bundle").is_err());
        assert_eq!(of("create", "--preserve-fds 3 x").unwrap().number::<u32>("preserve-fds").unwrap(), Some(3));
    }

    #[test]
    fn global_flags_end_at_the_command() {
        let mut words = ["--root", "/r", "--systemd-cgroup=false", "-log-format=json", "run", "--bundle", "b"]
            .map(str::to_owned)
            .to_vec();
        let found = globals(&mut words).unwrap();
        assert_eq!((found.value("root"), found.is_on("systemd-cgroup")), (Some("/r"), false));
        assert_eq!(words, ["run", "--bundle", "b"]);
    }
}
