//! What only wharf's engine answers: check and repair, prune with progress.

use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use wharf_api::filters::Filters;
use wharf_api::image::Progress;
use wharf_api::system::upkeep::{CheckItem, PruneItem, path};
use wharf_types::{Error, Result};

use crate::client::Client;
use crate::query::Target;
use crate::stream::JsonLines;

/// Progress, with items for programs in between. Dropping it ends the work.
pub struct Items<T> {
    lines: JsonLines<Progress>,
    _item: std::marker::PhantomData<T>,
}

/// One line of [`Items`].
#[derive(Debug)]
pub enum ItemOrProgress<T> {
    /// An item.
    Item(T),
    /// How far the work is.
    Progress(Box<Progress>),
}

impl<T: DeserializeOwned> Items<T> {
    /// The next line, `None` at the end; a failure of the work is an error.
    pub async fn next(&mut self) -> Option<Result<ItemOrProgress<T>>> {
        let line = match self.lines.next_progress().await? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        Some(match line.aux {
            Some(aux) => serde_json::from_value(aux)
                .map(ItemOrProgress::Item)
                .map_err(|error| Error::system("the engine's answer could not be understood").caused_by(error)),
            None => Ok(ItemOrProgress::Progress(Box::new(line))),
        })
    }
}

/// Requests that only wharf's engine knows; others answer `NotFound`.
impl Client {
    /// Looks through the whole store for damage, and repairs it if `repair` says so.
    pub async fn system_check(&self, repair: bool) -> Result<Items<CheckItem>> {
        let method = if repair { Method::POST } else { Method::GET };
        self.items(method, Target::new(path::CHECK)).await
    }

    /// Removes unused images and tells about each; with `blobs`, also gives up blobs that can be made anew.
    pub async fn image_prune_with_progress(&self, filters: &Filters, blobs: bool) -> Result<Items<PruneItem>> {
        let target = Target::new(path::PRUNE_IMAGES).with_filters(filters).with_flag("blobs", blobs);
        self.items(Method::POST, target).await
    }

    async fn items<T>(&self, method: Method, target: Target) -> Result<Items<T>> {
        let response = self.stream_with(method, target, HeaderMap::new()).await?;
        Ok(Items { lines: JsonLines::new(response), _item: std::marker::PhantomData })
    }
}
