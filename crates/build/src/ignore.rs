//! `.dockerignore`: which files of a context are left out.
//!
//! One pattern per line, `#` comments, `!` exceptions; the last pattern that matches a path or one of the folders above
//! it decides. Patterns are relative to the context's root whether or not they begin with a slash.

use crate::pattern::Glob;

/// The rules of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    glob: Glob,
    /// The cleaned pattern.
    text: String,
    is_exception: bool,
}

impl Ignore {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence about a pattern that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self::of(lines.map(str::trim).filter(|line| !line.is_empty()))
    }

    /// Rules of a list of patterns.
    ///
    /// # Errors
    /// As [`Ignore::parse`].
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for line in patterns {
            let (is_exception, pattern) = match line.strip_prefix('!') {
                Some("") => return Err("illegal exclusion pattern: \"!\"".into()),
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let text = clean(pattern);
            let text = text.strip_prefix('/').unwrap_or(&text).to_owned();
            let glob = Glob::new(&text).map_err(|_| format!("syntax error in pattern {line:?}"))?;
            rules.push(Rule { glob, text, is_exception });
        }
        Ok(Self { rules })
    }

    /// The rules as patterns again, exceptions with `!`.
    pub fn patterns(&self) -> Vec<String> {
        let pattern = |rule: &Rule| if rule.is_exception { format!("!{}", rule.text) } else { rule.text.clone() };
        self.rules.iter().map(pattern).collect()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a path, relative and with slashes, is left out.
    pub fn excludes(&self, path: &str) -> bool {
        let mut excluded = false;
        for rule in &self.rules {
            if rule.is_exception == excluded && rule.covers(path) {
                excluded = !rule.is_exception;
            }
        }
        excluded
    }

    /// Whether nothing below a folder that is left out can come back: then it need not be looked into.
    pub fn prunes(&self, folder: &str) -> bool {
        let may_return = |rule: &Rule| {
            let prefix = format!("{folder}/");
            rule.is_exception && (rule.text.starts_with(&prefix) || rule.text.contains(['*', '?', '[', '\\']))
        };
        self.excludes(folder) && !self.rules.iter().any(may_return)
    }
}

impl Rule {
    /// The path itself or any folder above it.
    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        self.glob.matches(path) || ends.into_iter().any(|end| self.glob.matches(&path[..end]))
    }
}

/// Go's `filepath.Clean`: no double slashes, no `.`, `..` taken where it can be.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, paths: &[&str]) -> Vec<String> {
        let ignore = Ignore::parse(rules).unwrap();
        paths.iter().filter(|path| ignore.excludes(path)).map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn the_last_rule_decides() {
        let paths = ["README.md", "README-secret.md", "a.md", "src/a.md", "x.txt"];
        assert_eq!(excluded("*.md\n!README*.md\nREADME-secret.md", &paths), ["README-secret.md", "a.md"]);
        assert_eq!(excluded("*.md\nREADME-secret.md\n!README*.md", &paths), ["a.md"]);
        assert_eq!(excluded("**/*.md", &paths), ["README.md", "README-secret.md", "a.md", "src/a.md"]);
    }

    #[test]
    fn folders_take_what_is_below() {
        let paths = ["node_modules/a/b.js", "src/node_modules/x", "keep/a", "keep/b/c"];
        assert_eq!(excluded("node_modules", &paths), ["node_modules/a/b.js"]);
        assert_eq!(excluded("/keep/\n!keep/b", &paths), ["keep/a"]);
        assert_eq!(excluded("*\n!keep", &paths), ["node_modules/a/b.js", "src/node_modules/x"]);
        assert_eq!(excluded("# keep\n\n  ./keep/../keep/a  ", &paths), ["keep/a"]);
    }

    #[test]
    fn a_folder_with_possible_exceptions_is_looked_into() {
        let ignore = Ignore::parse("a\nb\n!b/c").unwrap();
        assert!(ignore.prunes("a"));
        assert!(!ignore.prunes("b"));
        assert!(Ignore::parse("[").is_err());
        assert!(Ignore::parse("!").is_err());
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in
            [("a//b/./c/..", "a/b"), ("/../a", "/a"), ("", "."), ("../a", "../a"), ("./", "."), ("/", "/")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
