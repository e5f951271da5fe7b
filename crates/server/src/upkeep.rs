//! `/wharf/...`: what Docker's API has no request for.

use http::Method;
use serde::Serialize;
use tokio::sync::mpsc;
use wharf_api::List;
use wharf_api::image::{Progress, PruneReport};
use wharf_api::system::upkeep::PruneItem;
use wharf_engine::image::upkeep::{CheckStep, PruneAnswer};
use wharf_types::{Error, Result};

use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer, ok};
use crate::route::page_not_found;

/// So many lines may wait for a slow client.
const QUEUE: usize = 64;

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    match (method, parts) {
        (&Method::GET, ["check"]) => Ok(check(server, false)),
        (&Method::POST, ["check"]) => Ok(check(server, true)),
        (&Method::POST, ["images", "prune"]) => prune_images(server, &call),
        _ => Err(page_not_found()),
    }
}

fn check(server: &Server, repair: bool) -> Answer {
    let (images, containers) = (server.engine.images().clone(), server.engine.containers().clone());
    lines(|sender| async move {
        let told = sender.clone();
        images.check(repair, &containers, move |step| told.blocking_send(check_line(step)).is_ok()).await
    })
}

fn check_line(step: CheckStep) -> Progress {
    match step {
        CheckStep::Blobs(done, total) => Progress::status("Reading blobs").of("blobs").at(done, total),
        CheckStep::Layers(done, total) => {
            let detail = wharf_api::image::ProgressDetail {
                current: Some(done),
                total: Some(total),
                units: Some("layers".into()),
            };
            Progress { progress_detail: Some(detail), ..Progress::status("Comparing layers").of("layers") }
        }
        CheckStep::Item(item) => aux(&item),
    }
}

fn prune_images(server: &Server, call: &Call) -> Result<Answer> {
    let (filters, blobs) = (call.query.filters()?, call.query.flag("blobs"));
    let (images, containers) = (server.engine.images().clone(), server.engine.containers().clone());
    Ok(lines(|sender| async move {
        let told = sender.clone();
        images.prune(&filters, blobs, &containers, move |item| told.blocking_send(aux(&item)).is_ok()).await
    }))
}

/// `POST /images/prune`, which answers at the end. A client that goes away does not stop it.
pub(crate) async fn prune_at_once(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    let (sender, mut receiver) = mpsc::unbounded_channel::<PruneItem>();
    let images = server.engine.images();
    images.prune(&filters, false, server.engine.containers(), move |item| sender.send(item).is_ok()).await?;
    let mut answer = PruneAnswer::default();
    while let Some(item) = receiver.recv().await {
        answer.add(item);
    }
    // Where nothing went, Docker says null.
    let images_deleted = if answer.removed.is_empty() { List::null() } else { answer.removed.into() };
    ok(&PruneReport { images_deleted, space_reclaimed: answer.reclaimed })
}

fn aux(item: &impl Serialize) -> Progress {
    Progress { aux: serde_json::to_value(item).ok(), ..Progress::default() }
}

/// Answers with what `work` sends, and with its error as the last line.
fn lines<F, W>(work: F) -> Answer
where
    F: FnOnce(mpsc::Sender<Progress>) -> W,
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let work = work(sender.clone());
    tokio::spawn(async move {
        if let Err(error) = work.await {
            // A client that went away is told nothing.
            drop(sender.send(Progress::failed(&error)).await);
        }
    });
    let next = |mut receiver: mpsc::Receiver<Progress>| async { Some((receiver.recv().await?, receiver)) };
    response::json_lines(futures_util::stream::unfold(receiver, next))
}
