//! `GET /containers/{id}/stats`

use std::time::Duration;

use futures_util::stream;
use wharf_api::container::Stats;
use wharf_engine::container::Containers;
use wharf_types::Result;

use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer, ok};

/// From one reading to the next.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) async fn stats(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    let containers = server.engine.containers();
    let first = containers.stats(id, None).await?;
    if call.query.flag_or("stream", true) {
        return Ok(response::json_lines(readings(containers.clone(), id.to_owned(), first)));
    }
    if call.query.flag("one-shot") {
        return ok(&first);
    }
    tokio::time::sleep(PERIOD).await;
    ok(&containers.stats(id, Some(&first)).await?)
}

/// One reading a second, until the container is gone.
fn readings(containers: Containers, id: String, first: Stats) -> impl futures_util::Stream<Item = Stats> + Send {
    let begin = (containers, id, None::<Stats>, Some(first));
    stream::unfold(begin, |(containers, id, previous, first)| async move {
        let now = match first {
            Some(first) => first,
            None => {
                tokio::time::sleep(PERIOD).await;
                containers.stats(&id, previous.as_ref()).await.ok()?
            }
        };
        Some((now.clone(), (containers, id, Some(now), None)))
    })
}
