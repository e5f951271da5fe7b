//! Parser directives: `# syntax=`, `# escape=` and `# check=` before everything else.

use super::source::{Failure, Span};

/// What the first lines say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend image that was asked for; the language here is the stable one whatever it says.
    pub syntax: Option<String>,
    /// The escape character, `\` or a backtick.
    pub escape: char,
    /// What `check` asks for.
    pub check: CheckRules,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: CheckRules::default() }
    }
}

/// `# check=skip=RULE,RULE;error=true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckRules {
    /// Rules whose warnings are left out; `all` for all.
    pub skip: Vec<String>,
    /// Experimental rules that are wanted.
    pub experimental: Vec<String>,
    /// Warnings fail the build.
    pub error: bool,
}

impl CheckRules {
    /// Reads the value of the directive.
    ///
    /// # Errors
    /// A sentence about what is no rule set.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("invalid check option {part:?}"))?;
            let list = || value.split(',').map(|rule| rule.trim().to_owned()).filter(|rule| !rule.is_empty()).collect();
            match key.trim() {
                "skip" => rules.skip = list(),
                "experimental" => rules.experimental = list(),
                "error" => {
                    rules.error = match value.trim() {
                        "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
                        "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
                        other => return Err(format!("failed to parse check option error: invalid syntax {other:?}")),
                    };
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(rules)
    }
}

/// Reads the directives; the first line that is none ends them.
pub(super) fn read(text: &str) -> Result<Directives, Failure> {
    let mut directives = Directives::default();
    let mut seen: Vec<String> = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        if number == 1 && line.starts_with("#!") {
            continue;
        }
        let Some((key, value)) = directive(line) else { break };
        let span = Span::line(number);
        if !["syntax", "escape", "check"].contains(&key.as_str()) {
            break;
        }
        if seen.contains(&key) {
            return Err(Failure::new(span, format!("only one {key} parser directive can be used")));
        }
        match key.as_str() {
            "syntax" => directives.syntax = Some(value.to_owned()),
            "check" => directives.check = CheckRules::parse(value).map_err(|message| Failure::new(span, message))?,
            _ => directives.escape = escape(value).map_err(|message| Failure::new(span, message))?,
        }
        seen.push(key);
    }
    Ok(directives)
}

fn escape(value: &str) -> Result<char, String> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err(format!("invalid escape token {other:?} does not match ` or \\")),
    }
}

/// `# key = value`, the key in lower case.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let key = key.trim();
    let is_name = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_name && !value.trim().is_empty()).then(|| (key.to_ascii_lowercase(), value.trim()))
}
