//! Path patterns: Go's `filepath.Match`, and with `**` those of `.dockerignore`.

/// A pattern that cannot be read: an open bracket, an empty range, a backslash at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern;

/// Go's `filepath.Match`: `*` and `?` match anything but `/`, `[a-z]` and `[^a]` one character, `\` takes a meaning away.
///
/// # Errors
/// [`BadPattern`].
pub fn path_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let tokens = tokens(pattern, false)?;
    Ok(run(&tokens, &name.chars().collect::<Vec<_>>()))
}

/// A compiled pattern that knows `**`: any number of folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Compiles.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        tokens(pattern, true).map(|tokens| Self { tokens })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        run(&self.tokens, &path.chars().collect::<Vec<_>>())
    }
}

/// Whether a text has characters that mean something in patterns.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    One(char),
    /// `?`.
    Single,
    /// `*`.
    Any,
    /// `**`: everything, slashes too.
    Deep,
    /// `**/`: nothing, or everything up to a slash.
    Folders,
    /// Always after the one above: some of a folder's name has been taken.
    InFolders,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Token {
    fn may_be_empty(&self) -> bool {
        matches!(self, Token::Any | Token::Deep | Token::Folders)
    }
}

fn tokens(pattern: &str, deep: bool) -> Result<Vec<Token>, BadPattern> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let token = match c {
            '*' if deep && chars.peek() == Some(&'*') => {
                chars.next();
                chars.next_if_eq(&'/');
                if chars.peek().is_none() {
                    Token::Deep
                } else {
                    tokens.push(Token::Folders);
                    Token::InFolders
                }
            }
            '*' => Token::Any,
            '?' => Token::Single,
            '\\' => Token::One(chars.next().ok_or(BadPattern)?),
            '[' => class(&mut chars)?,
            c => Token::One(c),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadPattern> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match chars.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => chars.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

/// All positions that the pattern can have reached, one character after the other: linear however many stars there are.
fn run(tokens: &[Token], text: &[char]) -> bool {
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    pass(tokens, &mut states);
    for c in text {
        let mut next = vec![false; tokens.len() + 1];
        for (i, token) in tokens.iter().enumerate().filter(|(i, _)| states[*i]) {
            match token {
                Token::One(one) => next[i + 1] |= one == c,
                Token::Single => next[i + 1] |= *c != '/',
                Token::Any => next[i] |= *c != '/',
                Token::Deep => next[i] = true,
                Token::Folders => {
                    next[i + 1] = true;
                    next[i + 2] |= *c == '/';
                }
                Token::InFolders => {
                    next[i] = true;
                    next[i + 1] |= *c == '/';
                }
                Token::Class { negated, ranges } => {
                    let within = ranges.iter().any(|(low, high)| (low..=high).contains(&c));
                    next[i + 1] |= *c != '/' && within != *negated;
                }
            }
        }
        states = next;
        pass(tokens, &mut states);
    }
    states[tokens.len()]
}

/// What can match nothing is passed at once.
fn pass(tokens: &[Token], states: &mut [bool]) {
    for (i, token) in tokens.iter().enumerate().filter(|(_, token)| token.may_be_empty()) {
        let next = if *token == Token::Folders { i + 2 } else { i + 1 };
        states[next] |= states[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_examples_hold() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a/b", false),
            ("[a-ζ]*", "α", true),
            ("*x", "xxx", true),
        ] {
            assert_eq!(path_match(pattern, name), Ok(expected), "{pattern} {name}");
        }
        for pattern in ["[]a]", "[-]", "[x-]", "[a", "[", "a\\", "[^"] {
            assert_eq!(path_match(pattern, "a"), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn two_stars_cross_folders() {
        for (pattern, path, expected) in [
            ("**", "a/b", true),
            ("**/b", "b", true),
            ("**/b", "a/x/b", true),
            ("**/b", "ab", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a/**", "a/x/y", true),
            ("**.go", "x/.go", true),
            ("**/*.go", "x/y.go", true),
            ("*", "a/b", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "[a-c*?/\\[\\]^\\\\-]{0,12}", path in "[a-c/]{0,12}") {
            let _ = path_match(&pattern, &path);
            let _ = Glob::new(&pattern).map(|glob| glob.matches(&path));
        }
    }
}
