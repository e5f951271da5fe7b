//! `/info`, `/system/df`

use std::collections::HashMap;
use std::path::PathBuf;

use wharf_api::ApiVersion;
use wharf_api::container::{Status, Summary as Container};
use wharf_api::image::Summary as Image;
use wharf_api::system::upkeep::StoreUsage;
use wharf_api::system::{BuildCache, DiskUsage, LegacyDiskUsage, Usage};
use wharf_api::volume::{UsageData, Volume};
use wharf_engine::container::ListOptions;
use wharf_types::{Error, Result};

use crate::request::Call;
use crate::response::{Answer, ok};
use crate::{Server, downgrade, volumes};

pub(crate) fn info(server: &Server, version: ApiVersion) -> Result<Answer> {
    ok(&downgrade::info(server.engine.info(), version))
}

const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub(crate) async fn disk_usage(server: &Server, call: &Call) -> Result<Answer> {
    let kinds: Vec<&str> = call.query.all("type").collect();
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(*kind)) {
        return Err(Error::invalid(format!("unknown object type: {unknown}")));
    }
    let wants = |kind: &str| kinds.is_empty() || kinds.contains(&kind);
    let mut usage = DiskUsage::default();
    if wants("image") {
        let show = wharf_engine::image::Show { shared_sizes: true, ..Default::default() };
        let items = server.engine.images().list(&Default::default(), show, server.engine.containers())?;
        let of_builds = server.engine.builds().layers_alone();
        let store = server.engine.images().disk_usage(server.engine.containers(), of_builds).await?;
        usage.image_usage = Some(of_images(items, &store));
        usage.store_usage = Some(StoreUsage {
            blobs: signed(store.blobs),
            blobs_size: signed(store.blob_bytes),
            layers: signed(store.layers),
            layers_size: signed(store.layer_bytes),
            partials: signed(store.partials),
            partials_size: signed(store.partial_bytes),
        });
    }
    usage.layers_size = usage.image_usage.as_ref().map(|images| images.total_size);
    if wants("container") {
        let options = ListOptions { all: true, size: true, ..ListOptions::default() };
        let disk = server.engine.containers().disk_usage().await?;
        usage.container_usage = Some(of_containers(server.engine.containers().list(options).await?, &disk));
    }
    if wants("volume") {
        usage.volume_usage = Some(of_volumes(measured_volumes(server).await));
    }
    if wants("build-cache") {
        let (total, reclaimable) = server.engine.builds().disk_usage().await?;
        let usage_of_items = of_builds(server.engine.builds().usage().await?);
        let (total_size, reclaimable) = (signed(total), signed(reclaimable));
        usage.build_cache_usage = Some(Usage { total_size, reclaimable, ..usage_of_items });
    }
    if call.version.before(52) {
        return ok(&LegacyDiskUsage::from(usage));
    }
    if !call.query.flag("verbose") {
        forget_items(&mut usage);
    }
    ok(&usage)
}

/// What images take is what is on the disk: blobs and layers, each once, however many images share them.
fn of_images(items: Vec<Image>, store: &wharf_image::StoreUsage) -> Usage<Image> {
    let usage = sum(items, |image| image.size, |image| image.containers > 0);
    let total_size = signed(store.blob_bytes + store.layer_bytes);
    Usage { total_size, reclaimable: signed(store.reclaimable), ..usage }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What containers take is what is on the disk, logs included; each by itself shows what it has written, as in `ps`.
fn of_containers(items: Vec<Container>, disk: &HashMap<String, u64>) -> Usage<Container> {
    let lives = |state| matches!(state, Status::Running | Status::Paused | Status::Restarting);
    let size = |container: &Container| signed(disk.get(&container.id).copied().unwrap_or(0));
    sum(items, size, |container| lives(container.state))
}

fn of_volumes(items: Vec<Volume>) -> Usage<Volume> {
    let usage = |volume: &Volume| volume.usage_data.clone().unwrap_or_default();
    sum(items, |volume| usage(volume).size, |volume| usage(volume).ref_count > 0)
}

/// What an image has as well would not come back.
fn of_builds(items: Vec<BuildCache>) -> Usage<BuildCache> {
    sum(items, |record| record.size, |record| record.in_use || record.shared)
}

fn sum<T>(items: Vec<T>, size: impl Fn(&T) -> i64, is_active: impl Fn(&T) -> bool) -> Usage<T> {
    let (mut active_count, mut reclaimable, mut total_size) = (0, 0, 0);
    for item in &items {
        total_size += size(item);
        match is_active(item) {
            true => active_count += 1,
            false => reclaimable += size(item),
        }
    }
    let total_count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    Usage { active_count, total_count, reclaimable, total_size, items }
}

async fn measured_volumes(server: &Server) -> Vec<Volume> {
    let mut measured = Vec::new();
    for record in server.engine.volumes().list() {
        let size = folder_size(server.engine.volumes().path(&record.name)).await;
        let users = server.engine.containers().using_volume(&record.name).len();
        let usage = UsageData {
            ref_count: i64::try_from(users).unwrap_or(i64::MAX),
            size: i64::try_from(size).unwrap_or(i64::MAX),
        };
        measured.push(Volume { usage_data: Some(usage), ..volumes::document(server, &record).await });
    }
    measured
}

fn forget_items(usage: &mut DiskUsage) {
    usage.image_usage.iter_mut().for_each(|usage| usage.items.clear());
    usage.container_usage.iter_mut().for_each(|usage| usage.items.clear());
    usage.volume_usage.iter_mut().for_each(|usage| usage.items.clear());
    usage.build_cache_usage.iter_mut().for_each(|usage| usage.items.clear());
}

/// Bytes on disk of all in a folder; what cannot be read counts nothing.
pub(crate) async fn folder_size(folder: PathBuf) -> u64 {
    tokio::task::spawn_blocking(move || wharf_engine::system::disk_below(&folder)).await.unwrap_or(0)
}
