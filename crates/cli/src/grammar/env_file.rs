//! `--env`, `--env-file`, `--label` and `--label-file`.

use crate::env;

/// One `--env`: `NAME=VALUE`, or `NAME` to take it from the person's own environment. What is not set there stays a
/// bare name, which tells the engine to unset what the image sets.
pub fn variable(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    if text.contains('=') {
        return Ok(text.to_owned());
    }
    Ok(env::of_user(text).map_or_else(|| text.to_owned(), |value| format!("{text}={value}")))
}

/// One `--label`.
pub fn label(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() { Err(format!("invalid label '{text}': empty name")) } else { Ok(text.to_owned()) }
}

/// The lines of a file of variables; those without a value take the person's own and are left out where there is none.
pub fn variables_of_file(path: &str) -> Result<Vec<String>, String> {
    lines(path, "env file", |name| env::of_user(name).map(|value| format!("{name}={value}")))
}

/// The lines of a file of labels; those without a value are left out.
pub fn labels_of_file(path: &str) -> Result<Vec<String>, String> {
    lines(path, "label file", |_| None)
}

fn lines(path: &str, what: &str, bare: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let go = |e: &std::io::Error| crate::output::os_error(e);
    let file = std::fs::metadata(path).map_err(|e| format!("open {path}: {}", go(&e)))?;
    if file.is_dir() {
        return Err(format!("invalid {what} ({path}): read {path}: is a directory"));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("open {path}: {}", go(&e)))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("invalid {what} ({path}): invalid utf8 bytes"))?;
    parse_lines(&text, bare).map_err(|why| format!("invalid {what} ({path}): {why}"))
}

fn parse_lines(text: &str, bare: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        match value {
            _ if name.is_empty() => return Err(format!("no variable name on line '{line}'")),
            Some(value) => out.push(format!("{name}={value}")),
            None => out.extend(bare(name)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_names() {
        assert_eq!(variable("A=b=c"), Ok("A=b=c".into()));
        assert_eq!(variable("WHARF_SURELY_UNSET"), Ok("WHARF_SURELY_UNSET".into()));
        assert_eq!(variable("=x"), Err("invalid environment variable: =x".into()));
        assert_eq!(label("=x"), Err("invalid label '=x': empty name".into()));
        assert_eq!(label("a"), Ok("a".into()));
    }

    #[test]
    fn files_have_a_variable_on_each_line() {
        let bare = |name: &str| (name == "HOME").then(|| "HOME=/root".to_owned());
        let parsed = parse_lines("A=1\n# c\n\nB\nHOME\n C=2 x\n", bare).unwrap();
        assert_eq!(parsed, ["A=1", "HOME=/root", "C=2 x"]);
        assert_eq!(parse_lines("A B=1", bare), Err("variable 'A B' contains whitespaces".into()));
        assert_eq!(parse_lines("=1", bare), Err("no variable name on line '=1'".into()));
        assert_eq!(variables_of_file("/nonexist"), Err("open /nonexist: no such file or directory".into()));
    }
}
