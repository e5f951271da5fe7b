//! What people see of images: lists, inspections, histories.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use wharf_api::container::{GraphDriver, HealthConfig};
use wharf_api::filters::Filters;
use wharf_api::image::{
    AttestationData, Config, DeleteItem, Descriptor, HistoryItem, ImageData, Inspect, ManifestSize, ManifestSummary,
    Metadata, RootFs, Summary, UnpackedSize,
};
use wharf_api::{Empty, List};
use wharf_build::pattern::path_match;
use wharf_image::{Health, Image, ImageConfig, ImageId, ImageStore, Member, MemberKind, RemoveOptions, Removed};
use wharf_types::{Error, Platform, Reference, Result};

use super::Images;
use crate::container::Containers;
use crate::container::view::parse_until;
use crate::time;

/// What a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Show {
    /// Also images that are only steps of others.
    pub all: bool,
    /// How much each shares with others.
    pub shared_sizes: bool,
    /// The manifests for all platforms.
    pub manifests: bool,
}

impl Images {
    /// The images, newest first: without those that are only steps of others, unless `all` are asked for.
    pub fn list(&self, filters: &Filters, show: Show, containers: &Containers) -> Result<Vec<Summary>> {
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
            (show.all || !is_nameless || !parents.contains(&image.id))
                && dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
                && before.is_none_or(|limit| made(image) < limit)
                && since.is_none_or(|limit| made(image) > limit)
                && until.is_none_or(|until| time::unix(image.created()) < until)
                && filters.match_labels(&image.config().labels)
        };
        let shared = show.shared_sizes.then(|| self.store().shared_sizes());
        let patterns: Vec<&str> = filters.values("reference").collect();
        if let Some(pattern) = patterns.iter().find(|pattern| path_match(pattern, "").is_err()) {
            return Err(
                Error::invalid("syntax error in pattern").with_hint(format!("mind the brackets of {pattern:?}"))
            );
        }
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
            if show.manifests {
                summary.manifests = self.manifests(image, containers).ok();
            }
            let is_shown = patterns.is_empty() || !(summary.repo_tags.is_empty() && summary.repo_digests.is_empty());
            is_shown.then_some(summary)
        };
        Ok(images.iter().filter(|image| wanted(image)).filter_map(summary).collect())
    }

    /// Everything about one image, of several platforms the one that is wished or the host's.
    pub fn inspect(&self, name: &str, platform: Option<&Platform>) -> Result<Inspect> {
        Ok(match platform {
            Some(platform) => inspect(&*self.store().resolve_for(name, platform)?),
            None => inspect(&*self.store().resolve(name)?),
        })
    }

    /// As [`Images::inspect`], with all manifests that the name leads to.
    pub async fn inspect_with_manifests(&self, name: &str, containers: &Containers) -> Result<Inspect> {
        let (this, name, containers) = (self.clone(), name.to_owned(), containers.clone());
        self.run(move |store| {
            let image = store.resolve(&name)?;
            Ok(Inspect { manifests: Some(this.manifests(&image, &containers)?), ..inspect(&image) })
        })
        .await
    }

    /// The manifest of an image that is here, as containers show it.
    pub(crate) fn manifest_of(&self, id: &ImageId) -> Option<Descriptor> {
        let image = self.store().get(id)?;
        Some(Descriptor {
            media_type: image.manifest.media_type.clone(),
            digest: image.manifest.digest.to_string(),
            size: signed(image.manifest.size),
            platform: Some(platform_document(&image.platform())),
            ..Descriptor::default()
        })
    }

    fn manifests(&self, image: &Image, containers: &Containers) -> Result<Vec<ManifestSummary>> {
        Ok(self.store().members(image)?.into_iter().map(|member| manifest_summary(member, containers)).collect())
    }

    /// How an image was made, newest step first.
    pub async fn history(&self, name: &str, platform: Option<Platform>) -> Result<Vec<HistoryItem>> {
        let name = name.to_owned();
        let entries = self.run(move |store| store.history(&name, platform.as_ref())).await?;
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

    /// Removes a name, or an image with all its names; of several platforms those that are named, or all.
    pub async fn remove(
        &self,
        name: &str,
        platforms: Vec<Platform>,
        options: RemoveOptions,
        containers: &Containers,
    ) -> Result<Vec<DeleteItem>> {
        let (name, users) = (name.to_owned(), containers.clone());
        let work = move |store: &ImageStore| {
            let usage = |image: &_| users.using_image(image);
            match platforms.is_empty() {
                true => store.remove(&name, options, &usage),
                false => store.remove_platforms(&name, &platforms, options, &usage),
            }
        };
        let removed = self.run(work).await?;
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

fn platform_document(platform: &Platform) -> wharf_api::image::Platform {
    wharf_api::image::Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn manifest_summary(member: Member, containers: &Containers) -> ManifestSummary {
    let content = signed(member.content);
    let descriptor = Descriptor {
        media_type: member.descriptor.media_type,
        digest: member.descriptor.digest.to_string(),
        size: signed(member.descriptor.size),
        annotations: member.descriptor.annotations,
        platform: member.descriptor.platform.and_then(|platform| serde_json::from_value(platform).ok()),
        ..Descriptor::default()
    };
    let summary = ManifestSummary {
        id: descriptor.digest.clone(),
        descriptor,
        available: member.available,
        size: ManifestSize { content, total: content },
        kind: "unknown".into(),
        ..ManifestSummary::default()
    };
    match member.kind {
        MemberKind::Unknown => summary,
        MemberKind::Attestation(about) => ManifestSummary {
            kind: "attestation".into(),
            attestation_data: Some(AttestationData { about: about.map_or_else(String::new, |of| of.to_string()) }),
            ..summary
        },
        MemberKind::Image { platform: of, id, unpacked } => {
            let unpacked = signed(unpacked);
            let users = id.map_or_else(Vec::new, |id| containers.using_image(&id));
            let containers = users.iter().map(|user| user.container.to_string()).collect();
            let size = UnpackedSize { unpacked };
            ManifestSummary {
                kind: "image".into(),
                size: ManifestSize { content, total: content + unpacked },
                image_data: Some(ImageData { platform: platform_document(&of), containers, size }),
                ..summary
            }
        }
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

/// `name`, `name:tag`, with `*`, `?` and `[a-z]` within a path component.
fn matches_reference(name: &Reference, pattern: &str) -> bool {
    let matches = |text: String| path_match(pattern, &text).unwrap_or(false);
    matches(name.familiar()) || matches(name.familiar_name())
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
        for pattern in ["debian", "debian:*", "deb*", "debian:book????", "[a-e]ebian", "debian:[^a]*"] {
            assert!(matches_reference(&name, pattern), "{pattern}");
        }
        let many = format!("{}x", "*a".repeat(60));
        assert!(!matches_reference(&"a".repeat(100).parse().unwrap(), &many));
        assert!(!matches_reference(&name, "debian:trixie") && !matches_reference(&"a/b:c".parse().unwrap(), "*:c"));
    }
}
