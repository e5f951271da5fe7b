//! From flags to what the engine is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wharf_api::build::BuildSpec;

use crate::commands::builder::build::BuildFlags;
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::grammar::csv;

/// Everything but the contexts.
pub fn of(flags: &BuildFlags, name: &str, dockerfile: String) -> Outcome<BuildSpec> {
    let mut build_args: BTreeMap<String, String> = pairs(&flags.build_arg).collect();
    if let Some(epoch) = env::text(env::SOURCE_DATE_EPOCH) {
        build_args.entry(env::SOURCE_DATE_EPOCH.into()).or_insert(epoch);
    }
    let epoch = match build_args.get(env::SOURCE_DATE_EPOCH).map(|text| (text, text.parse())) {
        None => None,
        Some((_, Ok(epoch))) => Some(epoch),
        Some((text, Err(_))) => {
            return Err(Failure::new(format!("invalid SOURCE_DATE_EPOCH: {text:?} is no number of seconds")));
        }
    };
    let label = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    Ok(BuildSpec {
        dockerfile_name: name.to_owned(),
        dockerfile,
        contexts: BTreeMap::new(),
        images: named_images(flags)?,
        build_args,
        target: flags.target.clone(),
        labels: flags.label.iter().map(label).collect(),
        tags: flags.tag.clone(),
        platform: flags.platform.clone().or_else(|| env::text(env::DOCKER_DEFAULT_PLATFORM)),
        no_cache: flags.no_cache,
        no_cache_filter: flags.no_cache_filter.clone(),
        pull: flags.pull,
        network: flags.network.clone(),
        extra_hosts: flags.add_host.clone(),
        secrets: flags.secret.iter().map(|text| secret(text)).collect::<Outcome<_>>()?,
        agents: flags.ssh.iter().map(|text| agent(text)).collect::<Outcome<_>>()?,
        epoch,
        ..BuildSpec::default()
    })
}

/// `NAME=VALUE`, or `NAME` for the environment's value, nothing if it has none.
pub fn pairs(texts: &[String]) -> impl Iterator<Item = (String, String)> + '_ {
    texts.iter().filter_map(|text| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), env::of_user(text)?)),
    })
}

fn named(flags: &BuildFlags) -> impl Iterator<Item = Outcome<(&str, &str)>> {
    flags.build_context.iter().map(|text| {
        text.split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| Failure::new(format!("invalid context value: {text}, expected key=value")))
    })
}

fn named_images(flags: &BuildFlags) -> Outcome<BTreeMap<String, String>> {
    let mut images = BTreeMap::new();
    for pair in named(flags) {
        let (name, value) = pair?;
        if let Some(image) = value.strip_prefix("docker-image://") {
            images.insert(name.to_owned(), image.to_owned());
        }
    }
    Ok(images)
}

/// Named contexts that are folders here.
pub fn named_folders(flags: &BuildFlags) -> Outcome<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for pair in named(flags) {
        let (name, value) = pair?;
        if value.starts_with("docker-image://") {
            continue;
        }
        if value.contains("://") || !PathBuf::from(value).is_dir() {
            return Err(Failure::new(format!("failed to get build context {name}: {value} is no folder"))
                .with_hint("a named context is a folder or docker-image://IMAGE"));
        }
        folders.push((name.to_owned(), PathBuf::from(value)));
    }
    Ok(folders)
}

/// `id=ID[,src=FILE][,env=VARIABLE][,type=file|env]`.
fn secret(text: &str) -> Outcome<(String, String)> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in csv::fields(text).map_err(|error| Failure::new(format!("invalid secret {text:?}: {error}")))? {
        let (key, value) = field.split_once('=').map_or((field.as_str(), ""), |(key, value)| (key, value));
        match key.to_ascii_lowercase().as_str() {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(value.to_owned()),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => kind = Some(value.to_owned()),
            "type" => return Err(Failure::new(format!("unsupported secret type {value:?}"))),
            key => return Err(Failure::new(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    let id = id.or_else(|| file.clone()).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Failure::new(format!("invalid secret {text:?}: it needs an id")))?;
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take().or_else(|| Some(id.clone()));
    }
    let content = match (variable, file) {
        (Some(variable), _) => env::of_user(&variable)
            .ok_or_else(|| Failure::new(format!("secret {id}: the variable {variable} is not set")))?
            .into_bytes(),
        (None, Some(file)) => read(&id, &file)?,
        (None, None) => match env::of_user(&id) {
            Some(value) => value.into_bytes(),
            None => read(&id, &id)?,
        },
    };
    Ok((id, BASE64_STANDARD.encode(content)))
}

fn read(id: &str, path: &str) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Failure::new(format!("failed to stat secret {id}: {path}: {}", crate::output::os_error(&error)))
    })
}

/// `default`, or `ID=SOCKET`.
fn agent(text: &str) -> Outcome<(String, String)> {
    let (id, path) = text.split_once('=').map_or((text, None), |(id, path)| (id, Some(path.to_owned())));
    let path = path
        .or_else(|| env::text(env::SSH_AUTH_SOCK))
        .ok_or_else(|| Failure::new("invalid empty ssh agent socket, make sure SSH_AUTH_SOCK is set"))?;
    Ok((id.to_owned(), path))
}
