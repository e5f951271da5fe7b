//! Words: quotes, escapes and every documented form of variable expansion.
//!
//! `$name`, `${name}`, `${name:-w}`, `${name-w}`, `${name:+w}`, `${name+w}`, `${name:?w}`, `${name?w}`, `${name#p}`,
//! `${name##p}`, `${name%p}`, `${name%%p}`, `${name/p/r}`, `${name//p/r}`. In patterns `*` and `?` are wild and a
//! backslash takes their meaning away; nothing else is special.

use std::collections::{BTreeMap, BTreeSet};

/// The deepest nesting of braces that is read.
const DEEPEST: usize = 64;

/// Where values come from.
pub trait Variables {
    /// The value; `None` where the variable is not set.
    fn value(&self, name: &str) -> Option<String>;
}

/// Nothing is set.
#[derive(Debug, Clone, Copy)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn value(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// `NAME=value` strings, as in an image's configuration.
impl Variables for [String] {
    fn value(&self, name: &str) -> Option<String> {
        let has = |line: &&String| line.split('=').next() == Some(name);
        self.iter().rev().find(has).map(|line| line.split_once('=').map_or("", |(_, value)| value).to_owned())
    }
}

/// What came of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text as a whole.
    pub text: String,
    /// The text as words.
    pub words: Vec<String>,
    /// Names that were asked for and are not set.
    pub unset: BTreeSet<String>,
    /// Names that were asked for and are set.
    pub used: BTreeSet<String>,
}

/// How texts are expanded.
#[derive(Debug, Clone, Copy)]
pub struct Expansion {
    escape: char,
    quotes: bool,
    keep_unset: bool,
}

impl Expansion {
    /// Quotes and escapes are taken away, unset variables are empty.
    pub fn new(escape: char) -> Self {
        Self { escape, quotes: true, keep_unset: false }
    }

    /// Quotes mean nothing: for here-documents.
    #[must_use]
    pub fn without_quotes(self) -> Self {
        Self { quotes: false, ..self }
    }

    /// Variables that are not set stay as they were written.
    #[must_use]
    pub fn keeping_unset(self) -> Self {
        Self { keep_unset: true, ..self }
    }

    /// The whole text with everything expanded.
    ///
    /// # Errors
    /// A sentence about what cannot be read.
    pub fn text(&self, text: &str, variables: &(impl Variables + ?Sized)) -> Result<String, String> {
        self.all(text, variables).map(|expanded| expanded.text)
    }

    /// The text as words; what a variable outside of quotes stands for is split as well.
    ///
    /// # Errors
    /// As [`Expansion::text`].
    pub fn words(&self, text: &str, variables: &(impl Variables + ?Sized)) -> Result<Vec<String>, String> {
        self.all(text, variables).map(|expanded| expanded.words)
    }

    /// Everything that is known after an expansion.
    ///
    /// # Errors
    /// As [`Expansion::text`].
    pub fn all(&self, text: &str, variables: &(impl Variables + ?Sized)) -> Result<Expanded, String> {
        let mut lexer =
            Lexer { how: *self, chars: text.chars().collect(), at: 0, depth: 0, variables, out: Expanded::default() };
        let mut words = Words::default();
        let whole = lexer.until(None, &mut words).map_err(|error| format!("failed to process {text:?}: {error}"))?;
        words.end();
        Ok(Expanded { text: whole, words: words.done, ..lexer.out })
    }
}

/// Words in the making.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    has_word: bool,
}

impl Words {
    /// Text in which blanks separate.
    fn split(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.end();
            } else {
                self.word.push(c);
                self.has_word = true;
            }
        }
    }

    /// Text that was quoted: even if it is empty, there is a word.
    fn raw(&mut self, text: &str) {
        self.word.push_str(text);
        self.has_word = true;
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.has_word) {
            self.done.push(std::mem::take(&mut self.word));
        }
    }
}

struct Lexer<'a, V: ?Sized> {
    how: Expansion,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    variables: &'a V,
    out: Expanded,
}

impl<V: Variables + ?Sized> Lexer<'_, V> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Everything up to `stop`, which is taken, or to the end.
    fn until(&mut self, stop: Option<char>, words: &mut Words) -> Result<String, String> {
        let mut out = String::new();
        loop {
            let Some(c) = self.peek() else {
                return match stop {
                    None => Ok(out),
                    Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop:?}")),
                };
            };
            if Some(c) == stop {
                self.at += 1;
                return Ok(out);
            }
            let piece = match c {
                '\'' if self.how.quotes => self.single_quoted()?,
                '"' if self.how.quotes => self.double_quoted()?,
                '$' => {
                    let value = self.dollar()?;
                    words.split(&value);
                    out.push_str(&value);
                    continue;
                }
                c if c == self.how.escape => self.escaped(),
                c => {
                    self.at += 1;
                    words.split(c.encode_utf8(&mut [0; 4]));
                    out.push(c);
                    continue;
                }
            };
            words.raw(&piece);
            out.push_str(&piece);
        }
    }

    fn escaped(&mut self) -> String {
        self.at += 1;
        match self.next() {
            None => String::new(),
            // Without quotes, as in a here-document, an escape speaks for `$` and for itself alone.
            Some(c) if !self.how.quotes && c != '$' && c != self.how.escape => [self.how.escape, c].iter().collect(),
            Some(c) => c.to_string(),
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.next() {
                None => return Err("unexpected end of statement while looking for matching single-quote".into()),
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.peek() {
                None => return Err("unexpected end of statement while looking for matching double-quote".into()),
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('$') => out.push_str(&self.dollar()?),
                Some(c) if c == self.how.escape => {
                    self.at += 1;
                    match self.next() {
                        None => {
                            return Err("unexpected end of statement while looking for matching double-quote".into());
                        }
                        Some(next) if next == '"' || next == '$' || next == self.how.escape => out.push(next),
                        Some(next) => out.extend([c, next]),
                    }
                }
                Some(c) => {
                    self.at += 1;
                    out.push(c);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.plain(&name, start));
        }
        self.at += 1;
        if self.depth >= DEEPEST {
            return Err("substitutions are nested too deeply".into());
        }
        self.depth += 1;
        let value = self.braced(start);
        self.depth -= 1;
        value
    }

    fn plain(&mut self, name: &str, start: usize) -> String {
        match self.look(name) {
            Some(value) => value,
            None if self.how.keep_unset => self.chars[start..self.at].iter().collect(),
            None => String::new(),
        }
    }

    fn look(&mut self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        let seen = if value.is_some() { &mut self.out.used } else { &mut self.out.unset };
        seen.insert(name.to_owned());
        value
    }

    /// What follows `${`.
    fn braced(&mut self, start: usize) -> Result<String, String> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        let mut modifier = self.next().ok_or("syntax error: missing '}'")?;
        let colon = modifier == ':';
        if colon {
            modifier = self.next().ok_or("syntax error: missing ':' in substitution")?;
        }
        match modifier {
            '}' if !colon => Ok(self.plain(&name, start)),
            '+' | '-' | '?' => self.default(&name, modifier, colon),
            '#' | '%' if !colon => self.trim(&name, modifier, start),
            '/' if !colon => self.replace(&name, start),
            other if colon => Err(format!("unsupported modifier (:{other}) in substitution")),
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn default(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, String> {
        let asked = self.out.unset.contains(name);
        let value = self.look(name);
        if !asked {
            // A form with an alternative is no mistake where the variable is not set.
            self.out.unset.remove(name);
        }
        let word = self.until(Some('}'), &mut Words::default())?;
        let counts = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        match modifier {
            '+' => Ok(if counts { word } else { String::new() }),
            '-' => Ok(if counts { value.unwrap_or_default() } else { word }),
            _ if counts => Ok(value.unwrap_or_default()),
            _ => {
                let what = if colon { "not allowed to be empty" } else { "not allowed to be unset" };
                Err(if word.is_empty() { format!("{name}: is {what}") } else { format!("{name}: {word}") })
            }
        }
    }

    fn trim(&mut self, name: &str, modifier: char, start: usize) -> Result<String, String> {
        let longest = self.peek() == Some(modifier);
        if longest {
            self.at += 1;
        }
        let pattern = self.pattern('}')?;
        let Some(value) = self.look(name) else { return Ok(self.kept(start)) };
        let value: Vec<char> = value.chars().collect();
        let matches = |len: &usize| match modifier {
            '#' => matches(&pattern, &value[..*len]),
            _ => matches(&pattern, &value[value.len() - len..]),
        };
        let mut lengths = 0..=value.len();
        let len = if longest { lengths.rev().find(matches) } else { lengths.find(matches) }.unwrap_or(0);
        let rest = if modifier == '#' { &value[len..] } else { &value[..value.len() - len] };
        Ok(rest.iter().collect())
    }

    fn replace(&mut self, name: &str, start: usize) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.at += 1;
        }
        let pattern = self.pattern('/')?;
        let by = self.until(Some('}'), &mut Words::default())?;
        let Some(value) = self.look(name) else { return Ok(self.kept(start)) };
        let value: Vec<char> = value.chars().collect();
        let (mut out, mut at, mut done) = (String::new(), 0, false);
        while at < value.len() {
            let found = if done && !all { None } else { longest_match(&pattern, &value[at..]) };
            match found {
                Some(len) => {
                    out.push_str(&by);
                    at += len;
                    done = true;
                }
                None => {
                    out.push(value[at]);
                    at += 1;
                }
            }
        }
        Ok(out)
    }

    fn kept(&self, start: usize) -> String {
        if self.how.keep_unset { self.chars[start..self.at].iter().collect() } else { String::new() }
    }

    /// A pattern up to `stop`, variables in it expanded.
    fn pattern(&mut self, stop: char) -> Result<Vec<Glob>, String> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None => return Err(format!("unexpected end of statement while looking for matching {stop:?}")),
                Some(c) if c == stop => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    out.extend(value.chars().map(Glob::of));
                }
                Some('\'') if self.how.quotes => out.extend(self.single_quoted()?.chars().map(Glob::One)),
                Some('"') if self.how.quotes => out.extend(self.double_quoted()?.chars().map(Glob::One)),
                Some(c) => {
                    self.at += 1;
                    if c == self.how.escape || c == '\\' {
                        out.push(Glob::One(self.next().ok_or("a pattern ends in an escape")?));
                    } else {
                        out.push(Glob::of(c));
                    }
                }
            }
        }
    }

    /// A variable's name, or one of the shell's special ones, which are always one character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let is_special = matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!' | '0'..='9');
            if name.is_empty() && is_special {
                self.at += 1;
                return c.to_string();
            }
            if !(c.is_alphanumeric() || c == '_') {
                break;
            }
            name.push(c);
            self.at += 1;
        }
        name
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glob {
    Any,
    Single,
    One(char),
}

impl Glob {
    fn of(c: char) -> Self {
        match c {
            '*' => Glob::Any,
            '?' => Glob::Single,
            c => Glob::One(c),
        }
    }
}

/// Whether a pattern matches the whole text: the usual walk with one way back.
fn matches(pattern: &[Glob], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Glob::Any) => {
                back = Some((p, t));
                p += 1;
            }
            Some(Glob::Single) => (p, t) = (p + 1, t + 1),
            Some(Glob::One(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = back else { return false };
                back = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|glob| *glob == Glob::Any)
}

/// The longest beginning of the text that matches, if it is not empty.
fn longest_match(pattern: &[Glob], text: &[char]) -> Option<usize> {
    (1..=text.len()).rev().find(|len| matches(pattern, &text[..*len]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let pairs = [("A", "abc"), ("EMPTY", ""), ("PATHS", "a/b/c.tar.gz"), ("TWO", "x y"), ("STAR", "*")];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn text(text: &str) -> Result<String, String> {
        Expansion::new('\\').text(text, &variables())
    }

    #[test]
    fn every_documented_form_expands() {
        for (form, expected) in [
            ("$A", "abc"),
            ("${A}d", "abcd"),
            ("$Ad", ""),
            ("${B:-w}", "w"),
            ("${EMPTY:-w}", "w"),
            ("${EMPTY-w}", ""),
            ("${B-w}", "w"),
            ("${A:+w}", "w"),
            ("${EMPTY:+w}", ""),
            ("${EMPTY+w}", "w"),
            ("${B+w}", ""),
            ("${B:-${A}x}", "abcx"),
            ("${B:-'$A'}", "$A"),
            ("${A?no}", "abc"),
            ("${A#a}", "bc"),
            ("${PATHS#*/}", "b/c.tar.gz"),
            ("${PATHS##*/}", "c.tar.gz"),
            ("${PATHS%.*}", "a/b/c.tar"),
            ("${PATHS%%.*}", "a/b/c"),
            ("${PATHS/\\//-}", "a-b/c.tar.gz"),
            ("${PATHS//\\//-}", "a-b-c.tar.gz"),
            ("${PATHS//[a-z]/x}", "a/b/c.tar.gz"),
            ("${A/b*/X}", "aX"),
            ("${A//?/-}", "---"),
            ("${A#\\*}", "abc"),
            ("${STAR#\\*}", ""),
            ("\\$A", "$A"),
            ("'$A'", "$A"),
            ("\"$A\"", "abc"),
            ("\"\\$A \\\" \\x\"", "$A \" \\x"),
            ("a$", "a$"),
            ("$1x", "x"),
            ("a\\ b", "a b"),
            ("${A:?}", "abc"),
        ] {
            assert_eq!(text(form).as_deref(), Ok(expected), "{form}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for form in
            ["'a", "\"a", "${", "${A", "${}", "${A:", "${A:x}", "${B:?gone}", "${EMPTY:?}", "${B?}", "${A!}", "${A/b}"]
        {
            assert!(text(form).is_err(), "{form}");
        }
        assert!(text("${B:?gone}").unwrap_err().contains("B: gone"));
        assert!(text(&"${A:-".repeat(5000)).is_err());
    }

    #[test]
    fn words_are_split_outside_of_quotes_only() {
        let words = |line: &str| Expansion::new('\\').words(line, &variables()).unwrap();
        assert_eq!(words("a  'b c' \"d e\"f $TWO \"$TWO\" '' g\\ h"), ["a", "b c", "d ef", "x", "y", "x y", "", "g h"]);
        assert_eq!(words("$B"), Vec::<String>::new());
    }

    #[test]
    fn names_that_were_asked_for_are_known() {
        let all = Expansion::new('\\').all("$A $B ${C:-x}", &variables()).unwrap();
        assert_eq!(all.unset.into_iter().collect::<Vec<_>>(), ["B"]);
        assert_eq!(Expansion::new('\\').keeping_unset().text("$A ${B}", &variables()).unwrap(), "abc ${B}");
        assert_eq!(
            Expansion::new('\\').without_quotes().text("\"$A\" '\\$A' \\n", &variables()).unwrap(),
            "\"abc\" '$A' \\n"
        );
    }

    #[test]
    fn a_backtick_may_be_the_escape() {
        assert_eq!(Expansion::new('`').text("C:\\dir`$A", &variables()).unwrap(), "C:\\dir$A");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\$\\{\\}'\"\\\\/#%:*?]{0,40}") {
            let _ = Expansion::new('\\').all(&text, &variables());
        }

        #[test]
        fn plain_words_stay(words in proptest::collection::vec("[a-z0-9./=_-]{1,8}", 0..6)) {
            let line = words.join(" ");
            proptest::prop_assert_eq!(Expansion::new('\\').words(&line, &NoVariables).unwrap(), words);
        }
    }
}
