//! `--security-opt`, whose seccomp profiles the client reads, and `--cap-add`/`--cap-drop`.

/// Options for the engine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// As the API takes them, profiles in full.
    pub options: Vec<String>,
    /// `systempaths=unconfined`: nothing in /proc and /sys is masked or read-only.
    pub bare_system_paths: bool,
}

/// Reads all `--security-opt`.
pub fn options(texts: &[String]) -> Result<Security, String> {
    let mut security = Security::default();
    for text in texts {
        if text == "systempaths=unconfined" {
            security.bare_system_paths = true;
            continue;
        }
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        security.options.push(match pair {
            None if text == "no-new-privileges" => text.clone(),
            None => return Err(format!("Invalid --security-opt: {text:?}")),
            Some(("seccomp", profile)) if !matches!(profile, "unconfined" | "builtin") => {
                format!("seccomp={}", seccomp_profile(profile)?)
            }
            Some(_) => text.clone(),
        });
    }
    Ok(security)
}

/// The profile's JSON without spaces.
fn seccomp_profile(path: &str) -> Result<String, String> {
    let open = |why: String| format!("opening seccomp profile ({path}) failed: open {path}: {why}");
    let text = std::fs::read_to_string(path).map_err(|e| open(crate::output::os_error(&e)))?;
    let invalid = |e: serde_json::Error| format!("compacting json for seccomp profile ({path}) failed: {e}");
    // As raw text first, so that the order of keys and the spelling of numbers stay.
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).map_err(invalid)?;
    Ok(compact(raw.get()))
}

/// Removes the white space between the tokens of valid JSON.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    out
}

/// Capabilities to add: as [`capabilities`], but `ALL` says it all.
pub fn added_capabilities(texts: &[String]) -> Vec<String> {
    let names = capabilities(texts);
    if names.iter().any(|name| name == "ALL") { vec!["ALL".into()] } else { names }
}

/// Capabilities in the form `CAP_NAME`, sorted, each once.
pub fn capabilities(texts: &[String]) -> Vec<String> {
    let mut names: Vec<String> = texts
        .iter()
        .map(|text| text.trim().to_ascii_uppercase())
        .map(|name| if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_and_compacted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        std::fs::write(&path, "{ \"b\":  \"x \\\" y\",\n \"a\": 1.0 }").unwrap();
        let given =
            vec![format!("seccomp={}", path.display()), "no-new-privileges".into(), "systempaths=unconfined".into()];
        let security = options(&given).unwrap();
        assert_eq!(security.options, ["seccomp={\"b\":\"x \\\" y\",\"a\":1.0}", "no-new-privileges"]);
        assert!(security.bare_system_paths);
        assert_eq!(options(&["foo".into()]), Err("Invalid --security-opt: \"foo\"".into()));
        let missing = "opening seccomp profile (/nonexist) failed: open /nonexist: no such file or directory";
        assert_eq!(options(&["seccomp=/nonexist".into()]), Err(missing.into()));
    }

    #[test]
    fn capabilities_are_spelled_out() {
        let given = |names: &[&str]| capabilities(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["cap_sys_admin", "SYS_admin", "net_raw"]), ["CAP_NET_RAW", "CAP_SYS_ADMIN"]);
        assert_eq!(given(&["foo", "all"]), ["ALL", "CAP_FOO"]);
        assert_eq!(added_capabilities(&["foo".into(), "all".into()]), ["ALL"]);
    }
}
