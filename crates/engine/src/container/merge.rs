//! What a container runs: the request's configuration over the image's, by Docker's rules.

use std::collections::BTreeMap;

use wharf_api::container::{Config, HealthConfig};
use wharf_api::{Empty, List, Map};
use wharf_image::{Health, ImageConfig};
use wharf_types::{Error, Result};

/// Fills in from the image what the request leaves open.
///
/// # Errors
/// `InvalidParameter` when neither says what to run, or a port of the image cannot be read.
pub fn merge(mut config: Config, image: &ImageConfig) -> Result<Config> {
    merge_command(&mut config, image);
    if config.entrypoint.is_empty() && config.cmd.is_empty() {
        return Err(Error::invalid("no command specified").with_hint("name the program after the image"));
    }
    merge_environment(&mut config, image);
    for port in image.exposed_ports.keys() {
        let port =
            port.parse().map_err(|e| Error::invalid("the image exposes something that is no port").caused_by(e))?;
        config.exposed_ports.entry(port).or_insert(Empty);
    }
    for path in image.volumes.keys() {
        config.volumes.entry(path.clone()).or_insert(Empty);
    }
    config.labels = merge_labels(config.labels, &image.labels);
    take_if_empty(&mut config.user, &image.user);
    take_if_empty(&mut config.working_dir, &image.working_dir);
    take_if_empty(&mut config.stop_signal, &image.stop_signal);
    if config.shell.is_empty() {
        config.shell.clone_from(&image.shell);
    }
    merge_health(&mut config, image.healthcheck.as_ref());
    Ok(config)
}

/// An entrypoint of the request's drops the image's command, too; `[""]` drops the image's entrypoint.
fn merge_command(config: &mut Config, image: &ImageConfig) {
    if config.entrypoint.is_empty() {
        if config.cmd.is_empty() {
            config.cmd = image.cmd.clone().unwrap_or_default().into();
        }
        if config.entrypoint.is_null() {
            config.entrypoint = image.entrypoint.clone().map_or_else(List::null, List::from);
        }
    }
    if config.entrypoint.iter().all(String::is_empty) && config.entrypoint.len() == 1 {
        config.entrypoint = List::null();
    }
}

fn merge_environment(config: &mut Config, image: &ImageConfig) {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<String> = config.env.iter().map(|variable| name(variable)).collect();
    let missing = image.env.iter().filter(|variable| !own.contains(&name(variable)));
    config.env.extend(missing.cloned().collect::<Vec<_>>());
}

fn merge_labels(own: Map<String, String>, image: &BTreeMap<String, String>) -> Map<String, String> {
    let mut all = image.clone();
    all.extend(own.into_inner());
    all.into()
}

fn take_if_empty(own: &mut String, image: &str) {
    if own.is_empty() {
        image.clone_into(own);
    }
}

/// Each setting that the request leaves open comes from the image.
fn merge_health(config: &mut Config, image: Option<&Health>) {
    let Some(image) = image else { return };
    let own = config.healthcheck.get_or_insert_with(HealthConfig::default);
    if own.test.is_empty() {
        own.test.clone_from(&image.test);
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if *own == 0 {
            *own = image;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> List<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["serve".into()]),
            env: vec!["PATH=/bin".into(), "A=image".into()],
            labels: BTreeMap::from([("a".into(), "image".into()), ("b".into(), "image".into())]),
            ..ImageConfig::default()
        }
    }

    fn command(entrypoint: List<String>, cmd: List<String>) -> (Vec<String>, Vec<String>) {
        let merged = merge(Config { entrypoint, cmd, ..Config::default() }, &image()).unwrap();
        (merged.entrypoint.into_inner(), merged.cmd.into_inner())
    }

    #[test]
    fn the_command_follows_dockers_table() {
        let words = |words: &[&str]| list(words).into_inner();
        assert_eq!(command(List::null(), List::null()), (words(&["/entry"]), words(&["serve"])));
        assert_eq!(command(List::null(), list(&["x"])), (words(&["/entry"]), words(&["x"])));
        assert_eq!(command(list(&["/mine"]), List::null()), (words(&["/mine"]), words(&[])));
        assert_eq!(command(list(&[""]), list(&["x"])), (words(&[]), words(&["x"])));
    }

    #[test]
    fn the_request_wins_over_the_image() {
        let labels = [("a".to_owned(), "mine".to_owned())].into_iter().collect();
        let config = Config { env: list(&["A=mine"]), labels, ..Config::default() };
        let merged = merge(config, &image()).unwrap();
        assert_eq!(*merged.env, ["A=mine", "PATH=/bin"]);
        assert_eq!((merged.labels["a"].as_str(), merged.labels["b"].as_str()), ("mine", "image"));
    }

    #[test]
    fn something_must_be_run() {
        assert!(merge(Config::default(), &ImageConfig::default()).is_err());
    }
}
