//! What the build cache takes on the disk, and taking some of it away.

use std::collections::HashSet;
use std::path::Path;

use wharf_api::filters::Filters;
use wharf_api::system::BuildCache;
use wharf_build::cache::{Record, RecordKind};
use wharf_types::{Digest, Error, Result};

use super::{Builds, kind_word};
use crate::system::disk_below;

/// What is taken away.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Everything that is not in use, not only what no image has.
    pub all: bool,
    /// Keep so many bytes of what was used last.
    pub keep: Option<u64>,
    /// Which: `id`, `type`, `until`, `unused-for`, `description`, `shared`, `private`, `inuse`.
    pub filters: Filters,
}

/// What was taken away.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// The records' ids.
    pub ids: Vec<String>,
    /// Bytes that came back.
    pub bytes: u64,
}

impl Builds {
    /// All records, the one used last first.
    pub async fn usage(&self) -> Result<Vec<BuildCache>> {
        let builds = self.clone();
        crate::blocking(move || {
            Ok(builds.records().iter().map(|(record, used, shared)| view(record, *used, *shared)).collect())
        })
        .await
    }

    /// Bytes on disk that only builds take: layers that no image has, contexts and cache mounts; and how many of them are
    /// of no use at the moment.
    pub async fn disk_usage(&self) -> Result<(u64, u64)> {
        let builds = self.clone();
        crate::blocking(move || {
            let layers = builds.services.images.store().layers();
            let disk = |layer: &Digest| layers.disk_usage(layer).unwrap_or(0);
            let records = builds.records();
            let of = |record: &Record| record.layer.map(|layer| layer.diff_id);
            let busy: HashSet<Digest> =
                records.iter().filter(|(_, used, _)| *used).filter_map(|(r, ..)| of(r)).collect();
            let alone = builds.layers_alone();
            let in_layers: u64 = alone.iter().map(disk).sum();
            let unused: u64 = alone.iter().filter(|layer| !busy.contains(layer)).map(disk).sum();
            let folders = disk_below(&builds.services.config.build_dir());
            Ok((in_layers + folders, unused + folders))
        })
        .await
    }

    /// The records that filters leave.
    ///
    /// # Errors
    /// `InvalidParameter` for a filter that nobody knows.
    pub async fn usage_of(&self, filters: &Filters) -> Result<Vec<BuildCache>> {
        check_filters(filters)?;
        let (builds, filters) = (self.clone(), filters.clone());
        crate::blocking(move || {
            let now = jiff::Timestamp::now();
            let mut wanted = Vec::new();
            for (record, used, shared) in builds.records() {
                if matches(&filters, &record, used, shared, now)? {
                    wanted.push(view(&record, used, shared));
                }
            }
            Ok(wanted)
        })
        .await
    }

    /// Layers that are kept for builds only.
    pub fn layers_alone(&self) -> HashSet<Digest> {
        let records = self.records().into_iter().filter(|(_, _, shared)| !shared);
        records.filter_map(|(record, ..)| Some(record.layer?.diff_id)).collect()
    }

    /// Records, whether each is in use, and whether an image has its layer.
    fn records(&self) -> Vec<(Record, bool, bool)> {
        let images = self.services.images.store().list();
        let shared: HashSet<Digest> = images.iter().flat_map(|image| image.diff_ids().to_vec()).collect();
        let has_image = |record: &Record| record.layer.is_some_and(|layer| shared.contains(&layer.diff_id));
        let all = self.cache.list().into_iter();
        all.map(|(record, used)| {
            let shared = has_image(&record);
            (record, used, shared)
        })
        .collect()
    }

    /// Takes away what is not in use, the longest unused first, down to the budget.
    ///
    /// # Errors
    /// `InvalidParameter` for a filter that nobody knows.
    pub async fn prune(&self, options: PruneOptions) -> Result<Pruned> {
        check_filters(&options.filters)?;
        let builds = self.clone();
        crate::blocking(move || builds.prune_now(&options)).await
    }

    fn prune_now(&self, options: &PruneOptions) -> Result<Pruned> {
        let records = self.records();
        let size_of = |record: &Record| record.layer.map_or_else(|| folder_size(record), |layer| layer.size);
        let mut total: u64 = records.iter().map(|(record, ..)| size_of(record)).sum();
        let now = jiff::Timestamp::now();
        let mut keys = Vec::new();
        // A record goes before what it was made from; the list begins with what was used last.
        for (record, used, shared) in records.iter().rev() {
            let enough = options.keep.is_some_and(|keep| total <= keep);
            let wanted = !used && matches(&options.filters, record, *used, *shared, now)?;
            // What an image has costs nothing; it goes only when everything is to go.
            if enough || !wanted || (*shared && !options.all) {
                continue;
            }
            total = total.saturating_sub(size_of(record));
            keys.push(record.key);
        }
        let gone = self.cache.prune(&keys);
        let mut pruned = Pruned::default();
        for record in &gone {
            pruned.ids.push(record.key.hex());
            let still = records.iter().any(|(other, _, shared)| other.key == record.key && *shared);
            if !still {
                pruned.bytes += size_of(record);
            }
            if let Some(folder) = &record.folder
                && let Err(error) = std::fs::remove_dir_all(folder)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(folder, %error, "a cache mount was not removed");
            }
        }
        self.contexts.clear_unused();
        self.services.images.store().collect()?;
        Ok(pruned)
    }
}

fn view(record: &Record, in_use: bool, shared: bool) -> BuildCache {
    let size = record.layer.map_or_else(|| folder_size(record), |layer| layer.size);
    BuildCache {
        id: record.key.hex(),
        parents: record.parent.iter().map(Digest::hex).collect(),
        kind: kind_word(record.kind).to_owned(),
        description: record.description.clone(),
        in_use,
        shared,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        created_at: record.created.clone(),
        last_used_at: Some(record.used.clone()),
        usage_count: i64::try_from(record.uses).unwrap_or(i64::MAX),
    }
}

fn folder_size(record: &Record) -> u64 {
    let Some(folder) = record.folder.as_ref().filter(|_| record.kind == RecordKind::CacheMount) else { return 0 };
    std::fs::File::open(Path::new(folder))
        .ok()
        .and_then(|fd| wharf_storage::Usage::of(std::os::fd::AsFd::as_fd(&fd)).ok())
        .map_or(0, |usage| usage.bytes)
}

const FILTERS: [&str; 9] =
    ["id", "type", "until", "unused-for", "description", "shared", "private", "inuse", "parents"];

fn check_filters(filters: &Filters) -> Result<()> {
    filters.check_names(&FILTERS)
}

fn matches(filters: &Filters, record: &Record, used: bool, shared: bool, now: jiff::Timestamp) -> Result<bool> {
    for (name, value) in
        filters.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value.as_str())))
    {
        let fits = match name {
            "id" => record.key.hex().starts_with(value),
            "type" => kind_word(record.kind) == value,
            "description" => record.description.contains(value),
            "parents" => record.parent.is_some_and(|parent| parent.hex().starts_with(value)),
            "shared" => shared == (value != "false"),
            "private" => shared != (value != "false"),
            "inuse" => used == (value != "false"),
            _ => {
                let nanos = wharf_types::parse_duration(value)
                    .map_err(|_| Error::invalid(format!("invalid duration for filter {name}: {value}")))?;
                let last: jiff::Timestamp = record.used.parse().unwrap_or(now);
                (now.as_nanosecond() - last.as_nanosecond()) >= i128::from(nanos)
            }
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}
