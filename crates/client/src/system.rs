//! The engine itself.

use http::{HeaderMap, Method};
use wharf_api::event::Message;
use wharf_api::filters::Filters;
use wharf_api::system::{DiskUsage, Info, LegacyDiskUsage, Ping, Usage, Version, header};
use wharf_types::Result;

use crate::client::Client;
use crate::query::Target;
use crate::stream::JsonLines;

/// Which events are followed.
#[derive(Debug, Clone, Default)]
pub struct EventOptions {
    /// From then on: seconds since 1970, with decimals; from now on when absent.
    pub since: Option<String>,
    /// Until then; without end when absent.
    pub until: Option<String>,
    /// Which.
    pub filters: Filters,
}

/// Requests about the engine.
impl Client {
    /// What the engine says of itself.
    pub async fn ping(&self) -> Result<Ping> {
        Ok(ping_of(&self.head_unversioned("/_ping").await?))
    }

    /// Versions of the engine and its parts.
    pub async fn version(&self) -> Result<Version> {
        self.json(Method::GET, Target::new("/version")).await
    }

    /// The engine and its host.
    pub async fn info(&self) -> Result<Info> {
        self.json(Method::GET, Target::new("/info")).await
    }

    /// What takes space on the disk, with the things themselves; `kinds` are of `container`, `image`, `volume`,
    /// `build-cache`, and all when empty.
    pub async fn disk_usage(&self, kinds: &[&str]) -> Result<DiskUsage> {
        let version = self.negotiate().await?;
        let mut target = Target::new("/system/df");
        for kind in kinds {
            target = target.with("type", kind);
        }
        if version.before(52) {
            return Ok(modern(self.json(Method::GET, target).await?));
        }
        self.json(Method::GET, target.with_flag("verbose", true)).await
    }

    /// Events, past and to come.
    pub async fn events(&self, options: &EventOptions) -> Result<JsonLines<Message>> {
        let target = Target::new("/events")
            .with_filters(&options.filters)
            .with_option("since", options.since.as_ref())
            .with_option("until", options.until.as_ref());
        Ok(JsonLines::new(self.stream(Method::GET, target).await?))
    }
}

fn ping_of(headers: &HeaderMap) -> Ping {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Ping {
        api_version: text(header::API_VERSION).parse().ok(),
        os_type: text(header::OSTYPE),
        server: text("server"),
        builder_version: text(header::BUILDER_VERSION),
        experimental: text(header::DOCKER_EXPERIMENTAL) == "true",
        swarm: text(header::SWARM),
    }
}

/// What an engine before API 1.52 says, in today's form.
fn modern(old: LegacyDiskUsage) -> DiskUsage {
    fn usage<T>(items: Vec<T>, size: impl Fn(&T) -> i64, active: impl Fn(&T) -> bool) -> Option<Usage<T>> {
        let total_size = items.iter().map(&size).sum();
        let idle_size = items.iter().filter(|item| !active(item)).map(&size).sum();
        let active_count = items.iter().filter(|item| active(item)).count() as i64;
        Some(Usage { active_count, total_count: items.len() as i64, reclaimable: idle_size, total_size, items })
    }
    use wharf_api::container::Status;
    let images = usage(old.images.into_inner(), |i| i.size - i.shared_size.max(0), |i| i.containers > 0);
    let running = |status| matches!(status, Status::Running | Status::Paused | Status::Restarting);
    let volume_size =
        |usage: &Option<wharf_api::volume::UsageData>| usage.as_ref().map_or(0, |usage| usage.size.max(0));
    DiskUsage {
        layers_size: Some(old.layers_size),
        image_usage: images.map(|usage| Usage { total_size: old.layers_size, ..usage }),
        container_usage: usage(old.containers.into_inner(), |c| c.size_rw.unwrap_or(0), |c| running(c.state)),
        volume_usage: usage(
            old.volumes.into_inner(),
            |v| volume_size(&v.usage_data),
            |v| v.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0),
        ),
        build_cache_usage: usage(old.build_cache.into_inner(), |b| b.size, |b| b.in_use),
        store_usage: old.store_usage,
    }
}
