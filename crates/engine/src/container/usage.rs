//! Space that containers take on disk.

use std::collections::HashMap;

use wharf_types::Result;

use super::Containers;
use crate::system::disk_below;

impl Containers {
    /// Bytes on disk by container's id, as `du` counts them: what it has written, its logs and what the engine keeps
    /// for it.
    pub async fn disk_usage(&self) -> Result<HashMap<String, u64>> {
        let ids: Vec<_> = self.directory.all().iter().map(|entry| entry.id).collect();
        let services = self.services.clone();
        crate::blocking(move || {
            let measured = ids.iter().map(|id| (id.to_string(), disk_below(&services.config.container_dir(id))));
            Ok(measured.collect())
        })
        .await
    }
}
