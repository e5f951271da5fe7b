//! What registries send to the client, read as it reads it; for the fuzz targets only.

use std::path::Path;

use super::auth::challenge::{self, Challenge};
use super::{failure, hosts_toml, range};

/// Headers: how a registry wants to know who asks, and which bytes it sends. Fails where an answer is not possible.
pub fn header(text: &str) -> Result<(), &'static str> {
    let nameless = |challenge: &Challenge| matches!(challenge, Challenge::Bearer { realm, .. } if realm.is_empty());
    if challenge::parse(text).iter().any(nameless) {
        return Err("a token server without an address");
    }
    if range::content_range(text).is_some_and(|(first, last, _)| first > last) {
        return Err("a range that ends before it begins");
    }
    range::upload_offset(text);
    Ok(())
}

/// What a registry says of its errors, and a file about hosts.
pub fn document(bytes: &[u8]) {
    failure::said(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Mistakes in it are for a person to read.
        let _ = hosts_toml::parse(text, Path::new("/"));
    }
}
