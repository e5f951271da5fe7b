//! From a text to logical lines: comments gone, continuations joined, here-documents collected.

use super::directives::{self, Directives};
use super::heredoc::{Heredoc, raw_words};
use super::source::{Failure, Source, Span};

/// One instruction as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, here-documents included.
    pub span: Span,
    /// The text, joined.
    pub text: String,
    /// Its here-documents, in order.
    pub heredocs: Vec<Heredoc>,
    /// The comments right before it, without `#`.
    pub comments: Vec<String>,
}

/// A text taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// What stands before everything else.
    pub directives: Directives,
    /// The instructions.
    pub lines: Vec<Line>,
    /// Lines that are empty within a continuation.
    pub empty_continuations: Vec<Span>,
}

/// Takes a text apart.
///
/// # Errors
/// A directive that cannot be read, or a here-document that does not end.
pub fn split(source: &Source) -> Result<Lines, Failure> {
    let directives = directives::read(&source.text)?;
    let escape = directives.escape;
    let mut reader = Reader {
        rest: source.text.lines().zip(1u32..).collect::<Vec<_>>().into_iter(),
        escape,
        empty_continuations: Vec::new(),
    };
    let mut lines = Vec::new();
    let mut comments = Vec::new();
    while let Some((line, number)) = reader.rest.next() {
        let line = line.trim_start();
        if let Some(comment) = line.strip_prefix('#') {
            comments.push(comment.trim().to_owned());
        } else if line.is_empty() {
            comments.clear();
        } else {
            let (text, mut last) = reader.join(line, number);
            let heredocs = reader.heredocs(&text, Span { first: number, last }, &mut last)?;
            let comments = std::mem::take(&mut comments);
            lines.push(Line { span: Span { first: number, last }, text, heredocs, comments });
        }
    }
    Ok(Lines { directives, lines, empty_continuations: reader.empty_continuations })
}

struct Reader<'a> {
    rest: std::vec::IntoIter<(&'a str, u32)>,
    escape: char,
    empty_continuations: Vec<Span>,
}

impl Reader<'_> {
    /// The whole of a line that may go on below; comments within are left out, and so are empty lines.
    fn join(&mut self, start: &str, number: u32) -> (String, u32) {
        let mut text = String::new();
        let mut last = number;
        let (first, mut goes_on) = continued(start, self.escape);
        text.push_str(first);
        while goes_on {
            let Some((line, number)) = self.rest.next() else { break };
            last = number;
            let bare = line.trim();
            if bare.starts_with('#') {
                continue;
            }
            if bare.is_empty() {
                self.empty_continuations.push(Span::line(number));
                continue;
            }
            let (piece, more) = continued(line, self.escape);
            text.push_str(piece);
            goes_on = more;
        }
        (text.trim_end().to_owned(), last)
    }

    fn heredocs(&mut self, text: &str, span: Span, last: &mut u32) -> Result<Vec<Heredoc>, Failure> {
        if !takes_heredocs(text) {
            return Ok(Vec::new());
        }
        let words = raw_words(text, self.escape);
        let mut found: Vec<Heredoc> = words.iter().filter_map(|word| Heredoc::start(word, self.escape)).collect();
        for heredoc in &mut found {
            loop {
                let Some((line, number)) = self.rest.next() else {
                    let sentence = format!("unterminated heredoc: no line {:?} was found", heredoc.name);
                    return Err(Failure::new(span, sentence).with_hint("the closing word stands alone on its line"));
                };
                *last = number;
                if heredoc.ends_with(line) {
                    break;
                }
                heredoc.content.push_str(line);
                heredoc.content.push('\n');
            }
        }
        Ok(found)
    }
}

/// Only these instructions have here-documents; the JSON form has none.
fn takes_heredocs(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let mut name = words.next().unwrap_or_default().to_ascii_uppercase();
    if name == "ONBUILD" {
        name = words.next().unwrap_or_default().to_ascii_uppercase();
    }
    let is_json = words.find(|word| !word.starts_with("--")).is_some_and(|word| word.starts_with('['));
    matches!(name.as_str(), "RUN" | "COPY" | "ADD") && text.contains("<<") && !(is_json && json_list(text))
}

fn json_list(text: &str) -> bool {
    text.find('[').is_some_and(|at| serde_json::from_str::<Vec<String>>(&text[at..]).is_ok())
}

/// A line without its continuation mark, and whether it has one: an escape character at the end, blanks after it are
/// fine, and the character before it is no escape character.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let bare = line.trim_end_matches([' ', '\t']);
    match bare.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}
