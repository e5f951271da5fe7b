//! Requests that this SDK has no types for.

use http::Method;
use serde_json::Value;
use wharf_types::Result;

use crate::client::Client;
use crate::query::Target;

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Does something.
    Post,
    /// Replaces something.
    Put,
    /// Removes something.
    Delete,
}

impl Client {
    /// Sends a request without a body and gives the JSON document of the answer, if there is one.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn ask(&self, verb: Verb, path: &str) -> Result<Option<Value>> {
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let bytes = self.read(self.open(method, Target::new(path)).await?).await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}
