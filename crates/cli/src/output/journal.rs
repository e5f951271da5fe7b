//! What a server writes to standard error about its work.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use wharf_types::{Error, Result};

/// Sends the journal of this process to standard error: from `level` on, or by part (`info,wharf_network=debug`).
///
/// # Errors
/// `InvalidParameter` for what is no level.
pub fn to_stderr(level: &str) -> Result<()> {
    let filter: Targets = level.parse().map_err(|error| {
        Error::invalid(format!("{level:?} is no log level"))
            .with_hint("levels are error, warn, info, debug and trace")
            .caused_by(error)
    })?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    // In a process that has a journal already, that one is as good.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Ok(())
}
