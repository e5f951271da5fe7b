//! Words of a Dockerfile instruction: quotes, backslashes and variables.

use wharf_types::{Error, Result};

/// Splits at blanks outside quotes, takes quotes and backslashes away, and puts in the variables of `env`.
pub(crate) fn words(text: &str, env: &[String]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut lexer = Lexer { rest, env };
        words.push(lexer.word().ok_or_else(|| Error::invalid(format!("unclosed quote or variable in {text:?}")))?);
        rest = lexer.rest.trim_start();
    }
    Ok(words)
}

/// Puts in variables, and takes quotes away, in text that may hold blanks. Text that cannot be read stays as it is.
pub(crate) fn expand(text: &str, env: &[String]) -> String {
    let mut lexer = Lexer { rest: text, env };
    let mut out = String::new();
    while !lexer.rest.is_empty() {
        let Some(word) = lexer.word() else { return text.to_owned() };
        out.push_str(&word);
        let blanks = lexer.rest.len() - lexer.rest.trim_start().len();
        out.push_str(&lexer.rest[..blanks]);
        lexer.rest = &lexer.rest[blanks..];
    }
    out
}

struct Lexer<'a> {
    rest: &'a str,
    env: &'a [String],
}

impl Lexer<'_> {
    /// The next word; `None` when a quote or brace is not closed.
    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => break,
                '\'' => {
                    let (inside, rest) = self.rest[1..].split_once('\'')?;
                    word.push_str(inside);
                    self.rest = rest;
                }
                '"' => {
                    self.next();
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.next();
                    word.push(self.next().unwrap_or('\\'));
                }
                '$' => word.push_str(&self.variable()?),
                c => {
                    word.push(c);
                    self.next();
                }
            }
        }
        Some(word)
    }

    fn double_quoted(&mut self, word: &mut String) -> Option<()> {
        loop {
            match self.peek()? {
                '"' => {
                    self.next();
                    return Some(());
                }
                '\\' => {
                    self.next();
                    let escaped = self.next()?;
                    if !matches!(escaped, '"' | '$' | '\\') {
                        word.push('\\');
                    }
                    word.push(escaped);
                }
                '$' => word.push_str(&self.variable()?),
                c => {
                    word.push(c);
                    self.next();
                }
            }
        }
    }

    /// `$NAME`, `${NAME}`, `${NAME:-default}` or `${NAME:+other}`.
    fn variable(&mut self) -> Option<String> {
        self.next();
        if let Some(rest) = self.rest.strip_prefix('{') {
            let (inside, rest) = rest.split_once('}')?;
            self.rest = rest;
            return Some(self.braced(inside));
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(if name.is_empty() { "$".to_owned() } else { self.value(name).to_owned() })
    }

    fn braced(&self, inside: &str) -> String {
        let (name, rule) = inside.split_once(':').unwrap_or((inside, ""));
        let value = self.value(name);
        match (rule.strip_prefix('-'), rule.strip_prefix('+')) {
            (Some(default), _) if value.is_empty() => default.to_owned(),
            (_, Some(other)) if !value.is_empty() => other.to_owned(),
            _ => value.to_owned(),
        }
    }

    fn value(&self, name: &str) -> &str {
        let find = |line: &'_ String| line.split_once('=').is_some_and(|(known, _)| known == name);
        self.env.iter().find(|line| find(line)).and_then(|line| line.split_once('=')).map_or("", |(_, value)| value)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_variables_are_read_as_a_shell_does() {
        let env = ["A=1 2".to_owned(), "B=".to_owned()];
        for (text, expected) in [
            ("a  b", &["a", "b"][..]),
            (r#"a=" b ""#, &["a= b "]),
            (r"a\ b", &["a b"]),
            ("$A x", &["1 2", "x"]),
            ("'$A'", &["$A"]),
            (r#""\$A\n""#, &[r"$A\n"]),
            ("${B:-d}${A:+e}${C}.", &["de."]),
            ("$", &["$"]),
        ] {
            assert_eq!(words(text, &env).unwrap(), expected, "{text}");
        }
        assert!(words("\"a", &env).is_err());
        assert!(words("${a", &env).is_err());
        assert_eq!(expand("x $A  y", &env), "x 1 2  y");
    }
}
