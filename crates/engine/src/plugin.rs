//! Plugins of others that are asked by name over Docker's protocol.

use std::path::Path;

use wharf_types::{Error, Result};

/// Sends a request to the plugin of this name and gives its answer's body. Blocks; `own` is the engine's own folder of
/// sockets, looked at first.
///
/// # Errors
/// `NotFound` without such a plugin, `System` for one that does not answer with success.
pub fn call(name: &str, own: &Path, path: &str, body: &str) -> Result<Vec<u8>> {
    let (status, answer) = crate::volume::plugin_exchange(name, own, path, body)?;
    match status {
        200 => Ok(answer),
        _ => Err(Error::system(format!(
            "{}: the plugin answered {status}: {}",
            path.trim_start_matches('/'),
            String::from_utf8_lossy(&answer).trim_end()
        ))),
    }
}
