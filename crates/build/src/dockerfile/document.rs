//! A whole Dockerfile: global arguments and stages.

use super::directives::Directives;
use super::instruction::{Arg, Instruction, Kind};
use super::source::{Failure, Source, Span};
use super::{lines, parse};

/// A Dockerfile, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What stands before everything else.
    pub directives: Directives,
    /// `ARG`s before the first stage, in order.
    pub global_args: Vec<(Span, Arg)>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// Empty lines within continuations, for the lint rule.
    pub empty_continuations: Vec<Span>,
    /// The logical lines, for lint rules.
    pub lines: Vec<lines::Line>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where its `FROM` stands.
    pub span: Span,
    /// How that was written.
    pub text: String,
    /// The base: an image, an earlier stage or `scratch`; may name global arguments.
    pub base: String,
    /// The name, in lower case.
    pub name: Option<String>,
    /// `--platform`; may name global arguments.
    pub platform: Option<String>,
    /// Its instructions.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// The stage with this name, the last of several; or with this number.
    pub fn stage(&self, name: &str) -> Option<usize> {
        let lower = name.to_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
        named.or_else(|| name.parse().ok().filter(|number| *number < self.stages.len()))
    }
}

pub(super) fn read(source: &Source) -> Result<Dockerfile, Failure> {
    let split = lines::split(source)?;
    let escape = split.directives.escape;
    let mut file = Dockerfile {
        directives: split.directives,
        global_args: Vec::new(),
        stages: Vec::new(),
        empty_continuations: split.empty_continuations,
        lines: split.lines,
    };
    if file.lines.is_empty() {
        return Err(Failure::new(Span::line(1), "file with no instructions"));
    }
    for line in &file.lines {
        let (name, _) = parse::split_name(&line.text);
        if name.eq_ignore_ascii_case("FROM") {
            let from = parse::from(line, escape)?;
            file.stages.push(Stage {
                span: line.span,
                text: line.text.clone(),
                base: from.base,
                name: from.name,
                platform: from.platform,
                instructions: Vec::new(),
            });
            continue;
        }
        let instruction = parse::instruction(line, escape)?;
        match (file.stages.last_mut(), instruction.kind) {
            (Some(stage), kind) => stage.instructions.push(Instruction { kind, ..instruction }),
            (None, Kind::Arg(args)) => file.global_args.extend(args.into_iter().map(|arg| (line.span, arg))),
            (None, kind) => {
                let sentence = format!("no build stage in current context: {} comes before any FROM", kind.name());
                return Err(Failure::new(line.span, sentence).with_hint("begin with FROM; only ARG may come before it"));
            }
        }
    }
    if file.stages.is_empty() {
        let span = file.lines.last().map_or(Span::line(1), |line| line.span);
        return Err(
            Failure::new(span, "no build stage in current context").with_hint("a Dockerfile has at least one FROM")
        );
    }
    Ok(file)
}
