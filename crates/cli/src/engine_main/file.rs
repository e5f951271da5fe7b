//! `daemon.json`: the same settings as the flags, in a file. Its keys become the flags that they stand for.

use std::path::Path;

use clap::Command;
use clap::parser::{ArgMatches, ValueSource};
use serde_json::{Map, Value};

/// Keys that are named otherwise than their flag.
const NAMES: [(&str, &str); 12] = [
    ("hosts", "host"),
    ("labels", "label"),
    ("registry-mirrors", "registry-mirror"),
    ("insecure-registries", "insecure-registry"),
    ("log-opts", "log-opt"),
    ("default-ulimits", "default-ulimit"),
    ("default-address-pools", "default-address-pool"),
    ("dns-opts", "dns-opt"),
    ("storage-opts", "storage-opt"),
    ("exec-opts", "exec-opt"),
    ("authorization-plugins", "authorization-plugin"),
    ("host-gateway-ips", "host-gateway-ip"),
];
/// Keys without a flag that say nothing to this engine.
const NOTHING: [&str; 7] = [
    "features",
    "builder",
    "node-generic-resources",
    "cluster-store",
    "default-network-opts",
    "runtimes",
    "deprecated-key-path",
];

/// Reads the file. One that nobody named need not be there.
pub fn read(path: &Path, named: bool) -> Result<Map<String, Value>, String> {
    let failed = |why: String| format!("unable to configure the Docker daemon with file {}: {why}", path.display());
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(Map::new()),
        Err(error) => return Err(failed(crate::output::os_error(&error))),
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let document: Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    match document {
        Value::Object(document) => Ok(document),
        _ => Err(failed("it is no JSON object".to_owned())),
    }
}

/// The flags that the file's settings stand for. What no flag knows is an error, and so is what a flag says as well.
pub fn words(document: &Map<String, Value>, command: &Command, given: &ArgMatches) -> Result<Vec<String>, String> {
    let (mut words, mut unknown, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in document {
        if key == "proxies" {
            words.extend(proxies(value)?);
            continue;
        }
        if NOTHING.contains(&key.as_str()) {
            continue;
        }
        let flag = NAMES.iter().find(|(name, _)| name == key).map_or(key.as_str(), |(_, flag)| flag);
        let knows = |arg: &&clap::Arg| {
            arg.get_long() == Some(flag) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&flag))
        };
        let Some(arg) = command.get_arguments().find(knows) else {
            unknown.push(key.as_str());
            continue;
        };
        if given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            twice.push(format!("{key}: (from file: {value})"));
        }
        words.extend(of_value(key, value)?.into_iter().map(|value| format!("--{flag}={value}")));
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(format!("the following directives don't match any configuration option: {unknown}"));
    }
    if !twice.is_empty() {
        let twice = twice.join(", ");
        return Err(format!(
            "the following directives are specified both as a flag and in the configuration file: {twice}"
        ));
    }
    Ok(words)
}

fn proxies(value: &Value) -> Result<Vec<String>, String> {
    let fields = value.as_object().ok_or("proxies is an object")?;
    let word = |(key, value): (&String, &Value)| match (key.as_str(), value.as_str()) {
        ("http-proxy" | "https-proxy" | "no-proxy", Some(value)) => Ok(format!("--{key}={value}")),
        _ => Err(format!("the following directives don't match any configuration option: proxies.{key}")),
    };
    fields.iter().map(word).collect()
}

fn of_value(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("the setting {key} cannot be {value}");
    match (key, value) {
        (_, Value::Array(items)) => items.iter().map(|item| item_of(key, item).ok_or_else(wrong)).collect(),
        ("default-ulimits", Value::Object(limits)) => {
            let limit = |(name, limit): (&String, &Value)| {
                let number = |key: &str| limit.get(key).and_then(Value::as_i64);
                Some(format!("{name}={}:{}", number("Soft")?, number("Hard")?))
            };
            limits.iter().map(|entry| limit(entry).ok_or_else(wrong)).collect()
        }
        (_, Value::Object(options)) => {
            let option = |(name, value): (&String, &Value)| Some(format!("{name}={}", scalar(value)?));
            options.iter().map(|entry| option(entry).ok_or_else(wrong)).collect()
        }
        _ => Ok(vec![scalar(value).ok_or_else(wrong)?]),
    }
}

/// One of a list: a text, or an address pool.
fn item_of(key: &str, item: &Value) -> Option<String> {
    match item {
        Value::Object(pool) if key == "default-address-pools" => {
            Some(format!("base={},size={}", pool.get("base")?.as_str()?, pool.get("size")?.as_u64()?))
        }
        item => scalar(item),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn command() -> Command {
        let many = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
        Command::new("x").args(["label", "log-opt", "default-ulimit", "default-address-pool", "debug", "mtu"].map(many))
    }

    fn translate(text: &str, given: &[&str]) -> Result<Vec<String>, String> {
        let document: Map<String, Value> = serde_json::from_str(text).unwrap();
        let given = command().get_matches_from([&["x"], given].concat());
        words(&document, &command(), &given)
    }

    #[test]
    fn keys_become_flags() {
        let text = r#"{"debug": true, "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}],
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20, "Soft": 10}}, "features": {"buildkit": true},
            "labels": ["a=b", "c=d"], "log-opts": {"max-size": "1m"}, "mtu": 1400}"#;
        let expected = [
            "--debug=true",
            "--default-address-pool=base=10.0.0.0/8,size=24",
            "--default-ulimit=nofile=10:20",
            "--label=a=b",
            "--label=c=d",
            "--log-opt=max-size=1m",
            "--mtu=1400",
        ];
        assert_eq!(translate(text, &[]).unwrap(), expected);
    }

    #[test]
    fn what_is_unknown_or_said_twice_is_refused_in_dockers_words() {
        let unknown = translate(r#"{"nonsense": 1}"#, &[]).unwrap_err();
        assert_eq!(unknown, "the following directives don't match any configuration option: nonsense");
        let twice = translate(r#"{"mtu": 1}"#, &["--mtu=2"]).unwrap_err();
        assert!(twice.starts_with("the following directives are specified both as a flag and in the"), "{twice}");
        assert!(translate(r#"{"mtu": null}"#, &[]).is_err());
    }

    #[test]
    fn the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        assert!(read(&path, false).unwrap().is_empty());
        assert!(read(&path, true).unwrap_err().contains("no such file or directory"));
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path, false).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(read(&path, false).unwrap().is_empty());
    }
}
