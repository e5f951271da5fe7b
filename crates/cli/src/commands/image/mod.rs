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

use wharf_types::Platform;

use crate::failure::{Failure, Outcome};

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
    let platform: Platform =
        text.parse().map_err(|error: wharf_types::PlatformError| Failure::new(format!("invalid platform: {error}")))?;
    let document = wharf_api::image::Platform {
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        ..wharf_api::image::Platform::default()
    };
    serde_json::to_string(&document).map(Some).map_err(|error| Failure::new(error.to_string()))
}
