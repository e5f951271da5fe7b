//! Which values a variable has: arguments, their scopes, and what is set for everyone.

use std::collections::BTreeMap;

use wharf_types::Platform;

use super::{Options, Planned};
use crate::dockerfile::words::{Expansion, Variables};
use crate::dockerfile::{Dockerfile, Failure, Span};

/// Arguments that need no declaration to reach a command, and do not count for the cache.
pub const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What is known before any stage.
pub struct Globals {
    /// `ARG`s before the first `FROM`, by name; `None` for one without a value.
    pub args: BTreeMap<String, Option<String>>,
    /// What every build has: platforms.
    pub automatic: BTreeMap<String, String>,
}

impl Globals {
    pub fn of(file: &Dockerfile, options: &Options, stage: &str) -> Planned<Self> {
        let automatic = automatic(options, stage);
        let mut args: BTreeMap<String, Option<String>> = BTreeMap::new();
        let expansion = Expansion::new(file.directives.escape);
        for (span, arg) in &file.global_args {
            let given = options.build_args.get(&arg.name).cloned();
            let value = match (given, &arg.default) {
                (Some(value), _) => Some(value),
                (None, Some(text)) => {
                    let scope = Both { args: &args, automatic: &automatic };
                    Some(expansion.text(text, &scope).map_err(|error| Failure::new(*span, error))?)
                }
                (None, None) => automatic.get(&arg.name).cloned(),
            };
            args.insert(arg.name.clone(), value);
        }
        Ok(Self { args, automatic })
    }

    /// A text of a `FROM` line.
    pub fn expand(&self, escape: char, text: &str, span: Span) -> Planned<String> {
        let scope = Both { args: &self.args, automatic: &self.automatic };
        Expansion::new(escape).text(text, &scope).map_err(|error| Failure::new(span, error))
    }
}

struct Both<'a> {
    args: &'a BTreeMap<String, Option<String>>,
    automatic: &'a BTreeMap<String, String>,
}

impl Variables for Both<'_> {
    fn value(&self, name: &str) -> Option<String> {
        match self.args.get(name) {
            Some(value) => value.clone(),
            None => self.automatic.get(name).cloned(),
        }
    }
}

fn automatic(options: &Options, stage: &str) -> BTreeMap<String, String> {
    let host = Platform::host();
    let target = options.platform.clone().unwrap_or_else(Platform::host);
    let mut all = BTreeMap::new();
    for (prefix, platform) in [("BUILD", &host), ("TARGET", &target)] {
        let variant = platform.variant.clone().unwrap_or_default();
        all.insert(format!("{prefix}PLATFORM"), platform.to_string());
        all.insert(format!("{prefix}OS"), platform.os.clone());
        all.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        all.insert(format!("{prefix}VARIANT"), variant);
    }
    all.insert("TARGETSTAGE".into(), stage.to_owned());
    for (name, value) in all.iter_mut() {
        if let Some(given) = options.build_args.get(name) {
            value.clone_from(given);
        }
    }
    all
}

/// Variables of a stage: its environment wins over its arguments.
pub struct StageScope<'a> {
    pub env: &'a [String],
    pub args: &'a BTreeMap<String, String>,
}

impl Variables for StageScope<'_> {
    fn value(&self, name: &str) -> Option<String> {
        self.env.value(name).or_else(|| self.args.get(name).cloned())
    }
}
