//! `image ...` and the short names of the same.

pub mod bootstrap;
pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod search;
pub mod tag;
mod tree;

use wharf_types::{Platform, Reference, ReferenceError};

use crate::failure::{Failure, Outcome};
use crate::output;

/// The image that a pull or push names; or, with `all_tags`, the repository.
fn named(text: &str, all_tags: bool, quiet: bool) -> Outcome<Reference> {
    let name: Reference = text.parse().map_err(|error: ReferenceError| Failure::new(error.to_string()))?;
    let is_bare = name.tag().is_none() && name.digest().is_none();
    if all_tags {
        return if is_bare { Ok(name) } else { Err(Failure::new("tag can't be used with --all-tags/-a")) };
    }
    if is_bare && !quiet {
        output::out("Using default tag: latest\n")?;
    }
    Ok(name.or_latest())
}

/// `--platform` as the API has it.
fn platform(texts: &[String]) -> Outcome<Option<String>> {
    let [text] = texts else {
        return match texts.is_empty() {
            true => Ok(None),
            false => {
                Err(Failure::new("several platforms at once are not supported")
                    .with_hint("leave --platform out for all"))
            }
        };
    };
    platform_json(text).map(Some)
}

/// A platform as the API has it.
fn platform_json(text: &str) -> Outcome<String> {
    let platform: Platform =
        text.parse().map_err(|error: wharf_types::PlatformError| Failure::new(format!("invalid platform: {error}")))?;
    let document = wharf_api::image::Platform {
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        ..wharf_api::image::Platform::default()
    };
    serde_json::to_string(&document).map_err(|error| Failure::new(error.to_string()))
}
