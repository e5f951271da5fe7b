//! What a request may ask of its host: Docker's rules in Docker's words, and its warnings about what has no effect here.
//!
//! What is wrong in itself is refused when a container is created; what depends on the state of the host at the time (a
//! device that is missing) when it is started, as dockerd does both.

mod abilities;
mod rules;
mod update;

use wharf_api::container::HostConfig;
use wharf_types::{Error, Result};

pub use abilities::Abilities;
pub use rules::sysctls;
pub use update::{check as check_update, resources as changed_limits};

use crate::config::ContainerDefaults;

/// What can be decided before any container runs: the request in its final form, and sentences for the person.
///
/// # Errors
/// `InvalidParameter`.
pub fn adapt(host: &mut HostConfig, defaults: &ContainerDefaults) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    rules::general(host)?;
    rules::user_namespace(host, defaults)?;
    rules::runtime(host, defaults)?;
    rules::resources(&mut host.resources, Abilities::of_this_host(), &mut warnings, false)?;
    if host.network_mode == "host" && !host.port_bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".into());
    }
    Ok(warnings)
}

fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}
