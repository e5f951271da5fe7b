//! `images --tree`: each image with the platforms that it is for.

use wharf_api::image::{ManifestSummary, Platform, Summary};

use crate::output::{short_id, size, tabs};

/// A line for each image, and below it one for each platform. `U` marks what a container uses.
pub fn render(images: &[Summary]) -> String {
    let mut text = String::from("IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tEXTRA\n");
    for image in images {
        let manifests: Vec<&ManifestSummary> =
            image.manifests.iter().flatten().filter(|manifest| manifest.image_data.is_some()).collect();
        let content = manifests.iter().map(|manifest| manifest.size.content).sum();
        let total: i64 = manifests.iter().map(|manifest| manifest.size.total).sum();
        let name = if image.repo_tags.is_empty() { "<untagged>".to_owned() } else { image.repo_tags.join(", ") };
        text.push_str(&line(&name, &image.id, [total, content], image.containers > 0));
        for (number, manifest) in manifests.iter().enumerate() {
            let Some(data) = &manifest.image_data else { continue };
            let branch = if number + 1 == manifests.len() { "└─" } else { "├─" };
            let here = if manifest.available { "" } else { " (not here)" };
            let name = format!("{branch} {}{here}", words(&data.platform));
            let sizes = [manifest.size.total, manifest.size.content];
            text.push_str(&line(&name, &manifest.id, sizes, !data.containers.is_empty()));
        }
    }
    tabs::align(&text, 0, 3)
}

fn line(name: &str, id: &str, [total, content]: [i64; 2], in_use: bool) -> String {
    let mark = if in_use { "U" } else { "" };
    format!("{name}\t{}\t{}\t{}\t{mark}\n", short_id(id), size::of(total), size::of(content))
}

fn words(platform: &Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/")
}
