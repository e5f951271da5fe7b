//! What people see of images: lists, inspections, histories.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use wharf_api::container::{GraphDriver, HealthConfig};
use wharf_api::filters::Filters;
use wharf_api::image::{Config, DeleteItem, Descriptor, HistoryItem, Inspect, Metadata, RootFs, Summary};
use wharf_api::{Empty, List};
use wharf_image::{Health, Image, ImageConfig, RemoveOptions, Removed};
use wharf_types::{Error, Reference, Result};

use super::Images;
use crate::container::Containers;
use crate::container::view::parse_until;
use crate::time;

impl Images {
    /// The images, newest first: without those that are only steps of others, unless `all` are asked for.
    pub fn list(&self, filters: &Filters, all: bool, sizes: bool, containers: &Containers) -> Result<Vec<Summary>> {
        filters.check_names(&["dangling", "label", "label!", "before", "since", "reference", "until"])?;
        let dangling = filters.flag("dangling")?;
        let created = |name: &str| -> Result<Option<Option<Timestamp>>> {
            filters.values(name).next().map(|other| Ok(made(&*self.store().resolve(other)?))).transpose()
        };
        let (before, since) = (created("before")?, created("since")?);
        let until = filters.values("until").next().map(parse_until).transpose()?;
        let images = self.store().list();
        let parents: HashSet<_> = images.iter().filter_map(|image| image.parent).collect();
        let wanted = |image: &Image| {
            let is_nameless = image.tags.is_empty() && image.digests.is_empty();
            (all || !is_nameless || !parents.contains(&image.id))
                && dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
                && before.is_none_or(|limit| made(image) < limit)
                && since.is_none_or(|limit| made(image) > limit)
                && until.is_none_or(|until| time::unix(image.created()) < until)
                && filters.match_labels(&image.config().labels)
        };
        let shared = sizes.then(|| self.store().shared_sizes());
        let patterns: Vec<&str> = filters.values("reference").collect();
        let summary = |image: &Arc<Image>| {
            let mut summary = summary(image, containers);
            if !patterns.is_empty() {
                // Only the names that were asked for are shown.
                let matches = |name: &&Reference| patterns.iter().any(|pattern| matches_reference(name, pattern));
                summary.repo_tags = image.tags.iter().filter(matches).map(Reference::familiar).collect();
                summary.repo_digests = image.digests.iter().filter(matches).map(Reference::familiar).collect();
            }
            if let Some(shared) = &shared {
                summary.shared_size = signed(shared.get(&image.id).copied().unwrap_or(0));
            }
            let is_shown = patterns.is_empty() || !(summary.repo_tags.is_empty() && summary.repo_digests.is_empty());
            is_shown.then_some(summary)
        };
        Ok(images.iter().filter(|image| wanted(image)).filter_map(summary).collect())
    }

    /// Everything about one image.
    pub fn inspect(&self, name: &str) -> Result<Inspect> {
        Ok(inspect(&*self.store().resolve(name)?))
    }

    /// How an image was made, newest step first.
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryItem>> {
        let name = name.to_owned();
        let entries = self.run(move |store| store.history(&name)).await?;
        let item = |entry: wharf_image::HistoryEntry| HistoryItem {
            id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
            created: time::unix(&entry.created),
            created_by: entry.created_by,
            tags: if entry.tags.is_empty() { List::null() } else { entry.tags.into() },
            size: signed(entry.size),
            comment: entry.comment,
        };
        Ok(entries.into_iter().map(item).collect())
    }

    /// Gives an image one more name.
    pub async fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let target = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
        let parsed: Reference = target.parse().map_err(|error| invalid_reference(&target, error))?;
        let (parsed, name) = (parsed.or_latest(), name.to_owned());
        let target = parsed.clone();
        let id = self.run(move |store| store.tag(&name, &target)).await?;
        self.tell("tag", &id.to_string(), &parsed.familiar());
        Ok(())
    }

    /// Removes a name, or an image with all its names.
    pub async fn remove(&self, name: &str, options: RemoveOptions, containers: &Containers) -> Result<Vec<DeleteItem>> {
        let (name, users) = (name.to_owned(), containers.clone());
        let removed = self.run(move |store| store.remove(&name, options, &|image| users.using_image(image))).await?;
        Ok(self.report(removed))
    }

    /// Tells about removals, in Docker's form.
    pub(super) fn report(&self, removed: Vec<Removed>) -> Vec<DeleteItem> {
        let item = |removed: Removed| match removed {
            Removed::Untagged(name) => {
                self.tell("untag", &name.familiar(), &name.familiar());
                DeleteItem::untagged(name.familiar())
            }
            Removed::Deleted(id) => {
                self.tell("delete", &id.to_string(), &id.to_string());
                DeleteItem::deleted(id.to_string())
            }
        };
        removed.into_iter().map(item).collect()
    }
}

/// The error for a name that breaks the grammar.
pub fn invalid_reference(text: &str, error: wharf_types::ReferenceError) -> Error {
    Error::invalid(format!("invalid reference format: {text:?}"))
        .caused_by(error)
        .with_hint("names look like repository:tag")
}

fn summary(image: &Image, containers: &Containers) -> Summary {
    let labels = &image.config().labels;
    Summary {
        id: image.id.to_string(),
        parent_id: image.parent.map_or_else(String::new, |parent| parent.to_string()),
        repo_tags: image.repo_tags(),
        repo_digests: image.repo_digests(),
        created: time::unix(image.created()),
        size: signed(image.size),
        shared_size: -1,
        labels: if labels.is_empty() { wharf_api::Map::null() } else { labels.clone().into() },
        descriptor: Some(descriptor(image)),
        containers: i64::try_from(containers.using_image(&image.id).len()).unwrap_or(0),
        ..Summary::default()
    }
}

fn inspect(image: &Image) -> Inspect {
    let platform = image.platform();
    Inspect {
        id: image.id.to_string(),
        repo_tags: image.repo_tags(),
        repo_digests: image.repo_digests(),
        parent: image.parent.map_or_else(String::new, |parent| parent.to_string()),
        comment: image.document.comment.clone(),
        created: image.document.created.clone(),
        author: image.document.author.clone(),
        config: Some(config(image.config())),
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        os: platform.os,
        size: signed(image.size),
        graph_driver: Some(graph_driver(image)),
        root_fs: RootFs { kind: "layers".into(), layers: image.diff_ids().iter().map(ToString::to_string).collect() },
        metadata: Metadata { last_tag_time: time::NEVER.into() },
        descriptor: Some(descriptor(image)),
        ..Inspect::default()
    }
}

fn descriptor(image: &Image) -> Descriptor {
    Descriptor {
        media_type: image.target.media_type.clone(),
        digest: image.target.digest.to_string(),
        size: signed(image.target.size),
        ..Descriptor::default()
    }
}

/// When an image was made; nothing is earlier than what nobody knows.
fn made(image: &Image) -> Option<Timestamp> {
    image.created().parse().ok()
}

fn graph_driver(image: &Image) -> GraphDriver {
    let paths: Vec<String> = image.layers.iter().map(|layer| layer.display().to_string()).collect();
    let mut data = wharf_api::Map::empty();
    if let Some((upper, lower)) = paths.split_first() {
        data.insert("UpperDir".into(), upper.clone());
        if !lower.is_empty() {
            data.insert("LowerDir".into(), lower.join(":"));
        }
    }
    GraphDriver { name: "overlay2".into(), data }
}

fn config(config: &ImageConfig) -> Config {
    let list = |words: &Option<Vec<String>>| words.clone().map_or_else(List::null, List::from);
    Config {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.keys().map(|port| (port.clone(), Empty)).collect(),
        env: config.env.clone(),
        entrypoint: list(&config.entrypoint),
        cmd: list(&config.cmd),
        volumes: config.volumes.keys().map(|path| (path.clone(), Empty)).collect(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        args_escaped: config.args_escaped,
        healthcheck: config.healthcheck.as_ref().map(health),
        on_build: config.on_build.clone(),
        shell: config.shell.clone(),
    }
}

fn health(health: &Health) -> HealthConfig {
    HealthConfig {
        test: health.test.clone(),
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    }
}

/// `name`, `name:tag`, with `*` and `?` within a path component.
fn matches_reference(name: &Reference, pattern: &str) -> bool {
    glob(pattern.as_bytes(), name.familiar().as_bytes()) || glob(pattern.as_bytes(), name.familiar_name().as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            glob(rest, text) || text.split_first().is_some_and(|(first, tail)| *first != b'/' && glob(pattern, tail))
        }
        ([b'?', rest @ ..], [first, tail @ ..]) => *first != b'/' && glob(rest, tail),
        ([first, rest @ ..], [other, tail @ ..]) => first == other && glob(rest, tail),
        _ => false,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_with_and_without_tag() {
        let name: Reference = "debian:bookworm".parse().unwrap();
        for pattern in ["debian", "debian:*", "deb*", "debian:book????"] {
            assert!(matches_reference(&name, pattern), "{pattern}");
        }
        assert!(!matches_reference(&name, "debian:trixie") && !matches_reference(&"a/b:c".parse().unwrap(), "*:c"));
    }
}
