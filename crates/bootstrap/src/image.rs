//! The image's configuration: what runs in it, and labels that say what it was made from.

use crate::configure::PATH;
use crate::options::{Options, host_architecture};
use crate::plan::Plan;
use crate::target::{ExistingImage, ImportRequest};
use std::collections::BTreeMap;

const PREFIX: &str = "io.wharf.bootstrap.";
const PACKAGES: &str = "io.wharf.bootstrap.packages-digest";

/// What was asked for, as labels: an image that bears the same ones answers the same wish.
fn wish(options: &Options) -> BTreeMap<String, String> {
    let label = |name: &str, value: String| (format!("{PREFIX}{name}"), value);
    let mut labels = BTreeMap::from([
        label("suite", format!("{}:{}", options.suite.distribution, options.suite.name)),
        label("variant", "minbase".to_owned()),
        label("architecture", host_architecture()),
        label("components", options.components.join(",")),
        label("include", options.included().join(",")),
        label("updates", options.updates.to_string()),
    ]);
    labels.extend(options.mirror.as_ref().map(|mirror| label("mirror", mirror.trim_end_matches('/').to_owned())));
    labels
}

/// Whether an image is what the options ask for.
pub fn fulfils(image: &ExistingImage, options: &Options) -> bool {
    wish(options).iter().all(|(name, value)| image.labels.get(name) == Some(value))
}

/// Whether an image has exactly these packages.
pub fn is_current(image: &ExistingImage, plan: &Plan) -> bool {
    image.labels.get(PACKAGES) == Some(&plan.packages.to_string())
}

/// How the finished root file system is imported.
pub fn import_request(options: &Options, plan: &Plan) -> ImportRequest {
    let mut labels = wish(options);
    let mut add = |name: &str, value: String| drop(labels.insert(format!("{PREFIX}{name}"), value));
    add("mirror", plan.sources.first().map(|source| source.uri.clone()).unwrap_or_default());
    add("codename", plan.codename.clone());
    add("release-date", jiff::Timestamp::try_from(plan.date).map(|time| time.to_string()).unwrap_or_default());
    add("release-digest", plan.release.to_string());
    add("packages", plan.all().count().to_string());
    labels.insert(PACKAGES.to_owned(), plan.packages.to_string());
    let mut changes = vec![format!("ENV PATH={PATH}"), "CMD [\"bash\"]".to_owned()];
    changes.extend(labels.iter().map(|(name, value)| format!("LABEL {name}={}", quoted(value))));
    ImportRequest {
        name: Some((options.tag.familiar_name(), options.tag.tag().unwrap_or("latest").to_owned())),
        changes,
        message: format!("wharf image bootstrap {}:{}", options.suite.distribution, options.suite.name),
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}
