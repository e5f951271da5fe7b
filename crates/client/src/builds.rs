//! Builds.

use http::Method;
use serde::{Deserialize, Serialize};
use wharf_api::build::{BuildMessage, BuildSpec, ContextList, ContextMissing};
use wharf_api::filters::Filters;
use wharf_types::{Error, Result};

use crate::body::Upload;
use crate::client::Client;
use crate::query::Target;
use crate::stream::JsonLines;

/// What a prune of the build cache took away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildPruneReport {
    /// The records' ids.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// Requests about builds. All but the prune are wharf's own: Docker's engine has none of them.
impl Client {
    /// Tells what a context holds; answers what of it has to be sent.
    pub async fn build_compare(&self, key: &str, list: &ContextList) -> Result<ContextMissing> {
        self.post_json(Target::new(&format!("/build/contexts/{key}")), list).await
    }

    /// Sends what was missing, as a tar.
    pub async fn build_fill(&self, id: &str, tar: Upload) -> Result<()> {
        let target = Target::new(&format!("/build/contexts/{id}"));
        let answer = self.upload(Method::PUT, target, tar, "application/x-tar").await?;
        self.read(answer).await.map(drop)
    }

    /// Builds, and tells what happens meanwhile. Dropping the lines ends the build.
    pub async fn build_solve(&self, spec: &BuildSpec) -> Result<JsonLines<BuildMessage>> {
        let body = serde_json::to_vec(spec)
            .map_err(|error| Error::system("the build cannot be written as JSON").caused_by(error))?;
        let upload = Upload::new(futures_util::stream::iter([Ok(body.into())]));
        let answer = self.upload(Method::POST, Target::new("/build/solve"), upload, "application/json").await?;
        Ok(JsonLines::new(answer.0))
    }

    /// Removes records of the build cache that are not in use; with `keep` only down to so many bytes.
    pub async fn build_prune(&self, all: bool, keep: Option<u64>, filters: &Filters) -> Result<BuildPruneReport> {
        let target = Target::new("/build/prune").with_flag("all", all).with_option("keep-storage", keep);
        self.json(Method::POST, target.with_filters(filters)).await
    }
}
