//! Who builds: the engine itself, as BuildKit would describe it.

use std::collections::HashMap;

use wharf_engine::Engine;
use wharf_types::Platform;

use crate::proto::{BuildkitVersion, PlatformMessage, WorkerRecord};

/// The version of BuildKit whose protocol this is, for clients that look.
const VERSION: &str = "v0.16.0";

/// The one worker.
pub(crate) fn record(engine: &Engine) -> WorkerRecord {
    let host = Platform::host();
    let platform =
        PlatformMessage { architecture: host.architecture, os: host.os, variant: host.variant.unwrap_or_default() };
    let mut labels = HashMap::new();
    labels.insert("org.mobyproject.buildkit.worker.executor".to_owned(), "wharf".to_owned());
    labels.insert("org.mobyproject.buildkit.worker.network".to_owned(), "bridge".to_owned());
    WorkerRecord { id: engine.id().to_owned(), labels, platforms: vec![platform], version: Some(version()) }
}

/// What is told of the version.
pub(crate) fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "wharf".to_owned(),
        version: format!("{VERSION}+wharf.{}", env!("CARGO_PKG_VERSION")),
        revision: String::new(),
    }
}
