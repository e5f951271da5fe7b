//! Networks.

use http::Method;
use wharf_api::filters::Filters;
use wharf_api::network::{ConnectRequest, CreateRequest, CreateResponse, DisconnectRequest, Network, PruneReport};
use wharf_types::Result;

use crate::client::Client;
use crate::query::Target;

fn network(name: &str, rest: &str) -> Target {
    Target::named("networks", name, rest)
}

/// Requests about networks. `name` is a name, an id, or the beginning of one.
impl Client {
    /// The networks.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<Network>> {
        self.json(Method::GET, Target::new("/networks").with_filters(filters)).await
    }

    /// Everything about a network.
    pub async fn network_inspect(&self, name: &str) -> Result<Network> {
        self.json(Method::GET, network(name, "")).await
    }

    /// The same as the engine sent it, with fields that this crate does not know.
    pub async fn network_inspect_raw(&self, name: &str) -> Result<serde_json::Value> {
        self.json(Method::GET, network(name, "")).await
    }

    /// Makes a network.
    pub async fn network_create(&self, request: &CreateRequest) -> Result<CreateResponse> {
        self.post_json(Target::new("/networks/create"), request).await
    }

    /// Removes a network.
    pub async fn network_remove(&self, name: &str) -> Result<()> {
        self.empty(Method::DELETE, network(name, "")).await
    }

    /// Connects a container.
    pub async fn network_connect(&self, name: &str, request: &ConnectRequest) -> Result<()> {
        self.post_json_empty(network(name, "/connect"), request).await
    }

    /// Disconnects a container.
    pub async fn network_disconnect(&self, name: &str, request: &DisconnectRequest) -> Result<()> {
        self.post_json_empty(network(name, "/disconnect"), request).await
    }

    /// Removes all unused networks that the filters let through.
    pub async fn network_prune(&self, filters: &Filters) -> Result<PruneReport> {
        self.json(Method::POST, Target::new("/networks/prune").with_filters(filters)).await
    }
}
