//! What older versions of the API had differently. The engine's documents are always of the newest version.

use serde_json::{Value, json};
use wharf_api::ApiVersion;
use wharf_api::container;
use wharf_api::image;
use wharf_api::system::Info;

pub(crate) fn container(mut document: container::Inspect, version: ApiVersion) -> container::Inspect {
    if version.before(48) {
        document.image_manifest_descriptor = None;
    }
    if version.before(52)
        && let Some(settings) = &mut document.network_settings
    {
        settings.add_legacy();
    }
    if version.before(44)
        && let Some(settings) = &mut document.network_settings
    {
        settings.networks.values_mut().for_each(|endpoint| endpoint.dns_names.clear());
    }
    document
}

pub(crate) fn container_list(mut list: Vec<container::Summary>, version: ApiVersion) -> Vec<container::Summary> {
    if version.before(52) {
        list.iter_mut().for_each(|summary| summary.health = None);
    }
    if version.before(48) {
        list.iter_mut().for_each(|summary| summary.image_manifest_descriptor = None);
    }
    list
}

pub(crate) fn image(mut document: image::Inspect, version: ApiVersion) -> Value {
    if version.before(44) {
        document.virtual_size = Some(document.size);
    }
    if version.before(48) {
        document.descriptor = None;
    }
    let mut document = json!(document);
    if version.before(45) {
        // What the image was committed from.
        fill(&mut document, json!({ "Container": "", "ContainerConfig": empty_config() }));
    }
    if version.before(50) {
        fill(&mut document, json!({ "Parent": "", "DockerVersion": "", "Config": empty_config() }));
    }
    document
}

/// The configuration in an image's document was a container's, with every field, until API 1.49.
fn empty_config() -> Value {
    json!(container::Config::default())
}

/// Adds what is missing, on all levels.
fn fill(document: &mut Value, defaults: Value) {
    let (Some(document), Value::Object(defaults)) = (document.as_object_mut(), defaults) else { return };
    for (key, default) in defaults {
        match document.get_mut(&key) {
            Some(value) => fill(value, default),
            None => drop(document.insert(key, default)),
        }
    }
}

/// How images without a name were shown.
const NO_NAME: &str = "<none>:<none>";
const NO_DIGEST: &str = "<none>@<none>";

pub(crate) fn image_list(mut list: Vec<image::Summary>, version: ApiVersion) -> Vec<image::Summary> {
    for summary in &mut list {
        if version.before(44) {
            summary.virtual_size = Some(summary.size);
        }
        if version.before(48) {
            summary.descriptor = None;
        }
        if version.before(43) && summary.repo_tags.is_empty() && summary.repo_digests.is_empty() {
            summary.repo_tags.push(NO_NAME.to_owned());
            summary.repo_digests.push(NO_DIGEST.to_owned());
        }
    }
    list
}

pub(crate) fn info(mut info: Info, version: ApiVersion) -> Info {
    if version.before(50) {
        info.bridge_nf_iptables = Some(false);
        info.bridge_nf_ip6tables = Some(false);
    }
    if version.before(49) {
        for commit in [&mut info.containerd_commit, &mut info.runc_commit, &mut info.init_commit] {
            commit.expected = commit.id.clone();
        }
        info.firewall_backend = None;
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_find_what_they_look_for() {
        let image = image(
            image::Inspect { size: 5, config: Some(image::Config::default()), ..Default::default() },
            ApiVersion::MIN,
        );
        assert_eq!(image["VirtualSize"], 5);
        assert_eq!(
            (&image["Config"]["User"], &image["Config"]["Volumes"], &image["Parent"]),
            (&json!(""), &json!(null), &json!(""))
        );
        let settings = container::NetworkSettings::default();
        let document = container::Inspect { network_settings: Some(settings), ..Default::default() };
        let shown = |version| json!(container(document.clone(), version))["NetworkSettings"].get("IPAddress").is_some();
        assert!(shown(ApiVersion::new(1, 51)) && !shown(ApiVersion::MAX));
        let list = image_list(vec![image::Summary::default()], ApiVersion::new(1, 42));
        assert_eq!(list[0].repo_tags, [NO_NAME]);
    }
}
