//! Programs that run on the way to a container's own.

use crate::spec::Hook;
use wharf_types::Result;

/// Runs them one after the other, each with the container's state on its standard input.
pub(crate) fn run(hooks: &[Hook], state: &str) -> Result<()> {
    hooks.iter().try_for_each(|hook| crate::oci::hooks::run(hook, state))
}
