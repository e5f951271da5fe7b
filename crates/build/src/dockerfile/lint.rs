//! The rules of `--check`, under BuildKit's names.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Dockerfile, Stage};
use super::instruction::{Command, HealthTest, Kind};
use super::source::{Source, Span};
use super::transfer::{Origin, Transfer};
use super::words::{Expansion, Variables};
use crate::ignore::Ignore;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name.
    pub rule: &'static str,
    /// What the rule wants.
    pub description: &'static str,
    /// What was found.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// What is known beside the text.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Values given for the build's arguments.
    pub build_args: BTreeMap<String, String>,
    /// The context's `.dockerignore`.
    pub ignore: Ignore,
}

macro_rules! rules {
    ($($name:ident = $rule:literal, $description:literal;)*) => {
        $(const $name: (&str, &str) = ($rule, $description);)*
        /// The names of all rules.
        pub const RULES: &[&str] = &[$($rule),*];
    };
}

rules! {
    STAGE_CASING = "StageNameCasing", "Stage names should be lowercase";
    FROM_AS_CASING = "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword";
    EMPTY_CONTINUATION = "NoEmptyContinuation", "Empty continuation lines will become errors in a future release";
    CONSISTENT_CASING = "ConsistentInstructionCasing", "All commands within the Dockerfile should use the same casing (either upper or lower)";
    DUPLICATE_STAGE = "DuplicateStageName", "Stage names should be unique";
    RESERVED_STAGE = "ReservedStageName", "Reserved words should not be used as stage names";
    JSON_ARGS = "JSONArgsRecommended", "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals";
    MAINTAINER = "MaintainerDeprecated", "The MAINTAINER instruction is deprecated, use a label instead to define an image author";
    UNDEFINED_ARG_IN_FROM = "UndefinedArgInFrom", "FROM command must use declared ARGs";
    RELATIVE_WORKDIR = "WorkdirRelativePath", "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes";
    UNDEFINED_VAR = "UndefinedVar", "Variables should be defined before their use";
    MULTIPLE = "MultipleInstructionsDisallowed", "Multiple instructions of the same type should not be used in the same stage";
    LEGACY_KEY_VALUE = "LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used";
    REDUNDANT_PLATFORM = "RedundantTargetPlatform", "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior";
    SECRETS = "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands";
    INVALID_DEFAULT = "InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name";
    CONST_PLATFORM = "FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value";
    COPY_IGNORED = "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore";
    DESCRIPTION = "InvalidDefinitionDescription", "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.";
    EXPOSE_PROTOCOL = "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase";
    EXPOSE_FORMAT = "ExposeInvalidFormat", "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release";
}

/// Rules that run only when they are asked for.
const EXPERIMENTAL: [&str; 2] = ["InvalidDefinitionDescription", "CopyIgnoredFile"];

/// Finds everything that a rule minds, in the order of the lines.
pub fn check(file: &Dockerfile, known: &Known) -> Vec<Warning> {
    let mut linter = Linter { file, known, found: Vec::new() };
    linter.lines();
    linter.stages();
    let rules = &file.directives.check;
    let named = |list: &[String], rule: &str| {
        list.iter().any(|name| name.eq_ignore_ascii_case(rule) || name.eq_ignore_ascii_case("all"))
    };
    let mut found = linter.found;
    found.retain(|warning| {
        let wanted = !EXPERIMENTAL.contains(&warning.rule)
            || named(&rules.experimental, warning.rule)
            || warning.rule == COPY_IGNORED.0;
        wanted && !named(&rules.skip, warning.rule)
    });
    found.sort_by_key(|warning| warning.span);
    found
}

struct Linter<'a> {
    file: &'a Dockerfile,
    known: &'a Known,
    found: Vec<Warning>,
}

impl Linter<'_> {
    fn warn(&mut self, rule: (&'static str, &'static str), span: Span, message: String) {
        self.found.push(Warning { rule: rule.0, description: rule.1, message, span });
    }

    /// What can be seen without understanding.
    fn lines(&mut self) {
        for span in self.file.empty_continuations.clone() {
            self.warn(EMPTY_CONTINUATION, span, "Empty continuation line".into());
        }
        let mut upper = 0usize;
        let mut lower = 0usize;
        let names: Vec<(String, Span)> =
            self.file.lines.iter().map(|line| (first_word(&line.text).to_owned(), line.span)).collect();
        for (name, _) in &names {
            upper += usize::from(*name == name.to_ascii_uppercase());
            lower += usize::from(*name == name.to_ascii_lowercase());
        }
        let (majority, is_right): (&str, fn(&str) -> String) = match lower > upper {
            true => ("lowercase", str::to_ascii_lowercase),
            false => ("uppercase", str::to_ascii_uppercase),
        };
        for (name, span) in names {
            if name != is_right(&name) {
                let message = format!("Command '{name}' should match the case of the command majority ({majority})");
                self.warn(CONSISTENT_CASING, span, message);
            }
        }
        self.stage_lines();
        self.descriptions();
    }

    /// A comment right above a stage or an argument describes it if it begins with its name.
    fn descriptions(&mut self) {
        for line in self.file.lines.clone() {
            let words: Vec<&str> = line.text.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let (what, name) = match words[..] {
                [from, _, _, name] if from.eq_ignore_ascii_case("FROM") => ("stage", name),
                [arg, name] if arg.eq_ignore_ascii_case("ARG") => ("arg", name.split('=').next().unwrap_or(name)),
                _ => continue,
            };
            if line.comments.last().is_some_and(|comment| first_word(comment) != name) {
                let message = format!("Comment for build {what} should follow the format: `# {name} <description>`");
                self.warn(DESCRIPTION, line.span, message);
            }
        }
    }

    fn stage_lines(&mut self) {
        let mut names: BTreeSet<String> = BTreeSet::new();
        for line in self.file.lines.clone() {
            let words: Vec<&str> = line.text.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let [from, _, word, name] = words[..] else { continue };
            if !from.eq_ignore_ascii_case("FROM") {
                continue;
            }
            let is_upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase());
            let is_lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
            if is_upper(from) && is_lower(word) || is_lower(from) && is_upper(word) {
                self.warn(FROM_AS_CASING, line.span, format!("'{word}' and '{from}' keywords' casing do not match"));
            }
            let lower = name.to_lowercase();
            if lower != name {
                self.warn(STAGE_CASING, line.span, format!("Stage name '{name}' should be lowercase"));
            }
            if ["context", "scratch"].contains(&lower.as_str()) {
                self.warn(
                    RESERVED_STAGE,
                    line.span,
                    format!("'{name}' is reserved and should not be used as a stage name"),
                );
            }
            if !names.insert(lower) {
                self.warn(
                    DUPLICATE_STAGE,
                    line.span,
                    format!("Duplicate stage name {name:?}, stage names should be unique"),
                );
            }
        }
    }

    fn stages(&mut self) {
        let mut globals = automatic();
        for (span, arg) in &self.file.global_args {
            let given = self.known.build_args.get(&arg.name).cloned();
            let default = arg.default.as_ref().and_then(|text| self.expand(text, &globals));
            if let Some(value) = given.or(default) {
                globals.insert(arg.name.clone(), value);
            }
            self.secret("ARG", &arg.name, *span);
        }
        let mut stage_names: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let stages = self.file.stages.clone();
        for stage in &stages {
            let inherited = stage_names.get(&stage.base.to_lowercase()).cloned();
            self.from(stage, &globals);
            let left = self.stage(stage, &globals, inherited);
            if let Some(name) = &stage.name {
                stage_names.insert(name.clone(), left);
            }
        }
    }

    fn expand(&self, text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
        Expansion::new(self.file.directives.escape).text(text, variables).ok()
    }

    fn from(&mut self, stage: &Stage, globals: &BTreeMap<String, String>) {
        let escape = self.file.directives.escape;
        let declared: BTreeSet<&str> = self.file.global_args.iter().map(|(_, arg)| arg.name.as_str()).collect();
        for text in [Some(&stage.base), stage.platform.as_ref()].into_iter().flatten() {
            let Ok(all) = Expansion::new(escape).all(text, globals) else { continue };
            for name in all.unset.iter().filter(|name| !declared.contains(name.as_str())) {
                self.warn(UNDEFINED_ARG_IN_FROM, stage.span, format!("FROM argument '{name}' is not declared"));
            }
        }
        if self.expand(&stage.base, &self.defaults()).is_some_and(|base| !is_image_name(&base))
            && stage.base.contains('$')
        {
            let message = format!("Default value for ARG {} results in empty or invalid base image name", stage.base);
            self.warn(INVALID_DEFAULT, stage.span, message);
        }
        match stage.platform.as_deref() {
            Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                let platform = stage.platform.clone().unwrap_or_default();
                let message = format!(
                    "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
                );
                self.warn(REDUNDANT_PLATFORM, stage.span, message);
            }
            Some(platform) if !platform.contains('$') => {
                let named = stage
                    .name
                    .as_ref()
                    .is_some_and(|name| platform.split('/').any(|part| !part.is_empty() && name.contains(part)));
                if !named {
                    let message = format!("FROM --platform flag should not use constant value {platform:?}");
                    self.warn(CONST_PLATFORM, stage.span, message);
                }
            }
            _ => {}
        }
    }

    /// What the global arguments are if nobody gives any.
    fn defaults(&self) -> BTreeMap<String, String> {
        let mut values = automatic();
        for (_, arg) in &self.file.global_args {
            if let Some(value) = arg.default.as_ref().and_then(|text| self.expand(text, &values)) {
                values.insert(arg.name.clone(), value);
            }
        }
        values
    }

    /// One stage; returns the variables at its end.
    fn stage(
        &mut self,
        stage: &Stage,
        globals: &BTreeMap<String, String>,
        inherited: Option<BTreeMap<String, String>>,
    ) -> BTreeMap<String, String> {
        let from_stage = inherited.is_some();
        let mut env = Scope { values: inherited.unwrap_or_default(), open: !from_stage && stage.base != "scratch" };
        let mut absolute = false;
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut shell_set = false;
        for instruction in &stage.instructions {
            let span = instruction.span;
            match &instruction.kind {
                Kind::Maintainer(_) => {
                    self.warn(MAINTAINER, span, "Maintainer instruction is deprecated in favor of using label".into())
                }
                Kind::Cmd(command) | Kind::Entrypoint(command) => {
                    self.json(instruction.kind.name(), command, span, shell_set);
                    self.once(&mut seen, instruction.kind.name(), span);
                }
                Kind::Healthcheck(health) => {
                    if let HealthTest::Command(_) = &health.test {
                        self.once(&mut seen, "HEALTHCHECK", span);
                    }
                }
                Kind::Shell(_) => shell_set = true,
                Kind::Workdir(path) => {
                    self.undefined(path, &env, span);
                    let path = self.expand(path, &env.values).unwrap_or_default();
                    if path.starts_with('/') {
                        absolute = true;
                    } else if !absolute && !from_stage {
                        let message =
                            format!("Relative workdir {path:?} can have unexpected results if the base image changes");
                        self.warn(RELATIVE_WORKDIR, span, message);
                        absolute = true;
                    }
                }
                Kind::Env(pairs) | Kind::Label(pairs) => {
                    let is_env = matches!(instruction.kind, Kind::Env(_));
                    for pair in pairs {
                        self.undefined(&pair.value, &env, span);
                        if pair.legacy {
                            let message = format!(
                                "\"{0} key=value\" should be used instead of legacy \"{0} key value\" format",
                                instruction.kind.name()
                            );
                            self.warn(LEGACY_KEY_VALUE, span, message);
                        }
                        if is_env {
                            self.secret("ENV", &pair.name, span);
                        }
                    }
                    for pair in pairs.iter().filter(|_| is_env) {
                        let value = self.expand(&pair.value, &env.values).unwrap_or_default();
                        env.values.insert(pair.name.clone(), value);
                    }
                }
                Kind::Arg(args) => {
                    for arg in args {
                        self.secret("ARG", &arg.name, span);
                        let default = arg.default.as_ref().map(|text| {
                            self.undefined(text, &env, span);
                            self.expand(text, &env.values).unwrap_or_default()
                        });
                        let given = self.known.build_args.get(&arg.name).cloned();
                        let value = given.or(default).or_else(|| globals.get(&arg.name).cloned()).unwrap_or_default();
                        env.values.insert(arg.name.clone(), value);
                    }
                }
                Kind::Expose(ports) => ports.iter().for_each(|port| self.expose(port, &env, span)),
                Kind::Copy(transfer) | Kind::Add(transfer) => self.transfer(transfer, &env, span),
                Kind::User(text) | Kind::Stopsignal(text) => self.undefined(text, &env, span),
                Kind::Volume(paths) => paths.iter().for_each(|path| self.undefined(path, &env, span)),
                Kind::Run(_) | Kind::Onbuild(_) => {}
            }
        }
        env.values
    }

    fn once<'s>(&mut self, seen: &mut BTreeMap<&'s str, Span>, name: &'s str, span: Span) {
        if let Some(earlier) = seen.insert(name, span) {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            self.warn(MULTIPLE, earlier, message);
        }
    }

    fn json(&mut self, name: &str, command: &Command, span: Span, shell_set: bool) {
        if matches!(command, Command::Shell(_)) && !shell_set {
            let message =
                format!("JSON arguments recommended for {name} to prevent unintended behavior related to OS signals");
            self.warn(JSON_ARGS, span, message);
        }
    }

    fn expose(&mut self, port: &str, env: &Scope, span: Span) {
        self.undefined(port, env, span);
        let Some(port) = self.expand(port, &env.values) else { return };
        if let Some((_, protocol)) = port.split_once('/')
            && protocol != protocol.to_lowercase()
        {
            let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            self.warn(EXPOSE_PROTOCOL, span, message);
        }
        if port.contains(':') {
            let message =
                format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'");
            self.warn(EXPOSE_FORMAT, span, message);
        }
    }

    fn transfer(&mut self, transfer: &Transfer, env: &Scope, span: Span) {
        self.undefined(&transfer.destination, env, span);
        for origin in &transfer.sources {
            let Origin::Path(path) = origin else { continue };
            self.undefined(path, env, span);
            let is_remote = path.contains("://") || path.starts_with("git@");
            if transfer.from.is_some() || is_remote {
                continue;
            }
            let path = self.expand(path, &env.values).unwrap_or_default();
            let path = crate::ignore::clean(path.trim_start_matches('/'));
            if path != "." && self.known.ignore.excludes(&path) {
                let message = format!("Attempting to Copy file {path:?} that is excluded by .dockerignore");
                self.warn(COPY_IGNORED, span, message);
            }
        }
    }

    /// Variables that nobody has set by now; a base image may set any, so only what looks like a slip is named then.
    fn undefined(&mut self, text: &str, env: &Scope, span: Span) {
        let Ok(all) = Expansion::new(self.file.directives.escape).all(text, &env.values) else { return };
        for name in all.unset.iter().filter(|name| name.as_str() != "PATH" || !env.open) {
            let names: Vec<&str> = env.values.keys().map(String::as_str).collect();
            let near = super::flags::nearest(name, &names);
            let message = match near {
                Some(near) => format!("Usage of undefined variable '${name}' (did you mean ${near}?)"),
                None => format!("Usage of undefined variable '${name}'"),
            };
            self.warn(UNDEFINED_VAR, span, message);
        }
    }

    fn secret(&mut self, instruction: &str, name: &str, span: Span) {
        const WORDS: [&str; 9] =
            ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret"];
        let lower = name.to_lowercase();
        let mut parts = lower.split('_');
        let public = lower.contains("public") || lower.split('_').any(|part| ["file", "version"].contains(&part));
        let is_secret = parts.any(|part| WORDS.contains(&part) || part == "token");
        if is_secret && !public {
            let message = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
            self.warn(SECRETS, span, message);
        }
    }
}

struct Scope {
    values: BTreeMap<String, String>,
    /// Whether a base image may set more.
    open: bool,
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

/// What every build has in its `FROM`s.
fn automatic() -> BTreeMap<String, String> {
    let names = [
        "BUILDPLATFORM",
        "BUILDOS",
        "BUILDARCH",
        "BUILDVARIANT",
        "TARGETPLATFORM",
        "TARGETOS",
        "TARGETARCH",
        "TARGETVARIANT",
        "TARGETSTAGE",
    ];
    names.into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect()
}

fn is_image_name(name: &str) -> bool {
    name == "scratch" || name.parse::<wharf_types::Reference>().is_ok()
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

impl Warning {
    /// As a terminal shows it.
    pub fn render(&self, source: &Source) -> String {
        format!("WARNING: {} - {}\n{}\n\n{}\n", self.rule, self.url(), self.message, source.excerpt(self.span))
    }

    /// Where the rule is explained.
    pub fn url(&self) -> String {
        format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(self.rule))
    }
}

/// `StageNameCasing` as `stage-name-casing`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (i, c) in chars.iter().enumerate() {
        let starts = i > 0
            && c.is_uppercase()
            && (chars[i - 1].is_lowercase() || chars.get(i + 1).is_some_and(|n| n.is_lowercase()));
        if starts {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}
