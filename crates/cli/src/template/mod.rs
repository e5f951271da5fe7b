//! Go templates as `--format` takes them: the language of Go's `text/template` as far as rows and documents need it,
//! with the functions that Docker adds.
//!
//! Text → [`lexer`] → [`parser`] → [`exec`] on a [`Value`]. No part of it prints or reads anything.

mod exec;
mod funcs;
mod lexer;
mod parser;
mod printf;
mod value;

pub use exec::ROW_KIND;
pub use printf::quote;
pub use value::{Map, Value};

use std::fmt;

/// A parsed template.
pub struct Template {
    source: String,
    nodes: Vec<parser::Node>,
}

impl Template {
    /// Parses a template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: source.to_owned(), nodes: parser::parse(source)? })
    }

    /// Fills the template with `data`.
    pub fn execute(&self, data: &Value) -> Result<String, TemplateError> {
        exec::execute(&self.source, &self.nodes, data)
    }

    /// Whether the template uses the field anywhere, so that what is dear to compute is computed only when asked for.
    pub fn mentions(&self, field: &str) -> bool {
        parser::mentions(&self.nodes, field)
    }
}

/// Why a template cannot be parsed or filled, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl TemplateError {
    fn parse(source: &str, at: usize, what: &str) -> Self {
        Self(format!("template: :{}: {what}", line_of(source, at)))
    }

    fn exec(source: &str, at: usize, node: &str, what: &str) -> Self {
        let at = at.min(source.len());
        let column = at - source.as_bytes()[..at].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let mut shown: String = node.chars().take(20).collect();
        if shown.len() < node.len() {
            shown.push_str("...");
        }
        Self(format!("template: :{}:{column}: executing \"\" at <{shown}>: {what}", line_of(source, at)))
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

fn line_of(source: &str, at: usize) -> usize {
    1 + source.as_bytes()[..at.min(source.len())].iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests;
