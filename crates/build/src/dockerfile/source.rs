//! Where things stand in a Dockerfile, and how a failure shows it.

use std::fmt::Write as _;

use wharf_types::{Error, Kind};

/// Lines from `first` to `last`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The first line.
    pub first: u32,
    /// The last line; the same as the first for most.
    pub last: u32,
}

impl Span {
    /// One line.
    pub fn line(number: u32) -> Self {
        Self { first: number, last: number }
    }
}

/// A Dockerfile's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that messages show.
    pub name: String,
    /// The text without a byte order mark.
    pub text: String,
}

impl Source {
    /// A text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Self { name: name.into(), text }
    }

    /// The lines around a place, marked as `docker build` marks them:
    ///
    /// ```text
    /// Dockerfile:2
    /// --------------------
    ///    1 |     FROM busybox
    ///    2 | >>> RUM true
    /// --------------------
    /// ```
    pub fn excerpt(&self, span: Span) -> String {
        const AROUND: u32 = 2;
        const RULE: &str = "--------------------";
        const MOST: u32 = 20;
        let last_shown = span.last.saturating_add(AROUND).min(span.first.saturating_add(MOST));
        let mut text = format!("{}:{}\n{RULE}\n", self.name, span.first);
        for (line, number) in self.text.lines().zip(1u32..) {
            if number + AROUND < span.first || number > last_shown {
                continue;
            }
            let mark = if (span.first..=span.last).contains(&number) { ">>>" } else { "   " };
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{number:>4} | {mark} {line}");
        }
        text.push_str(RULE);
        text
    }
}

/// What cannot be read or done, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The place.
    pub span: Span,
    /// One sentence.
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of one place.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    /// What the person can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The lines around it.
    pub fn excerpt(&self, source: &Source) -> String {
        source.excerpt(self.span)
    }

    /// As the Engine API says it.
    pub fn into_error(self) -> Error {
        let error = Error::new(
            Kind::InvalidParameter,
            format!("dockerfile parse error on line {}: {}", self.span.first, self.message),
        );
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
