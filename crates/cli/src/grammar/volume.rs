//! `--volume`: `[SOURCE:]TARGET[:OPTIONS]`.

use std::path::Path;

/// What one `--volume` asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Volume {
    /// A volume without a name at this path.
    Anonymous(String),
    /// A bind for the API, with an absolute source if it was relative to the current folder.
    Bind(String),
}

/// Reads one `--volume`; sources that begin with `./` are relative to `current`.
pub fn parse(text: &str, current: &Path) -> Result<Volume, String> {
    if text.is_empty() {
        return Err("invalid empty volume spec".into());
    }
    if text.split(':').any(str::is_empty) {
        return Err(format!("invalid spec: {text}: empty section between colons"));
    }
    let Some((source, rest)) = text.split_once(':') else { return Ok(Volume::Anonymous(text.to_owned())) };
    if source == "." || source.starts_with("./") || source == ".." || source.starts_with("../") {
        return Ok(Volume::Bind(format!("{}:{rest}", absolute(source, current))));
    }
    Ok(Volume::Bind(text.to_owned()))
}

/// The path without `.` and `..`, starting at `current` if it is relative; by its text alone, as Docker does it.
pub fn absolute(path: &str, current: &Path) -> String {
    let mut clean = std::path::PathBuf::from("/");
    for part in current.join(path).components() {
        match part {
            std::path::Component::ParentDir => _ = clean.pop(),
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        let bind = |text: &str| Ok(Volume::Bind(text.into()));
        for (text, expected) in [
            ("/", Ok(Volume::Anonymous("/".into()))),
            ("a:/b", bind("a:/b")),
            ("/a:/b:ro", bind("/a:/b:ro")),
            ("./x:/y", bind("/srv/x:/y")),
            (".:/y:z", bind("/srv:/y:z")),
            ("../x:/y", bind("/x:/y")),
            ("rel/x:/y", bind("rel/x:/y")),
            ("~/a:/b", bind("~/a:/b")),
            (":/x", Err("invalid spec: :/x: empty section between colons".into())),
            ("/x:", Err("invalid spec: /x:: empty section between colons".into())),
        ] {
            assert_eq!(parse(text, Path::new("/srv")), expected, "{text}");
        }
    }
}
