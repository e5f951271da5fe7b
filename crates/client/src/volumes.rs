//! Volumes.

use http::Method;
use wharf_api::filters::Filters;
use wharf_api::volume::{CreateRequest, ListResponse, PruneReport, Volume};
use wharf_types::Result;

use crate::client::Client;
use crate::query::Target;

fn volume(name: &str) -> Target {
    Target::named("volumes", name, "")
}

/// Requests about volumes.
impl Client {
    /// The volumes.
    pub async fn volume_list(&self, filters: &Filters) -> Result<ListResponse> {
        self.json(Method::GET, Target::new("/volumes").with_filters(filters)).await
    }

    /// Everything about a volume.
    pub async fn volume_inspect(&self, name: &str) -> Result<Volume> {
        self.json(Method::GET, volume(name)).await
    }

    /// The same as the engine sent it, with fields that this crate does not know.
    pub async fn volume_inspect_raw(&self, name: &str) -> Result<serde_json::Value> {
        self.json(Method::GET, volume(name)).await
    }

    /// Makes a volume; gives the one that is there if it has this name and driver.
    pub async fn volume_create(&self, request: &CreateRequest) -> Result<Volume> {
        self.post_json(Target::new("/volumes/create"), request).await
    }

    /// Removes a volume; with `force` it is fine if there is none.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        self.empty(Method::DELETE, volume(name).with_flag("force", force)).await
    }

    /// Removes unused volumes: anonymous ones unless the filters say `all=1`.
    pub async fn volume_prune(&self, filters: &Filters) -> Result<PruneReport> {
        self.json(Method::POST, Target::new("/volumes/prune").with_filters(filters)).await
    }
}
