//! Where results go.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use wharf_build::host::Session;
use wharf_engine::build::Solved;
use wharf_types::Error;

use crate::Inner;
use crate::filesend;
use crate::gateway::failure;
use crate::grpc::{Code, Status};
use crate::options;
use crate::proto::Exporter;
use crate::remote::Outcome;

/// Carries out what was planned and brings it where it is wanted.
pub(crate) async fn run(
    inner: &Arc<Inner>,
    outcome: &Outcome,
    exporters: &[Exporter],
) -> Result<HashMap<String, String>, Status> {
    for exporter in exporters {
        check(exporter)?;
    }
    let builds = inner.engine.builds();
    let prepared = outcome.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let prepared = prepared.ok_or_else(|| Status::new(Code::InvalidArgument, "the result was exported before"))?;
    let session = Arc::clone(&outcome.session) as Arc<dyn Session>;
    let solved = builds.solve(prepared, Arc::clone(&session)).await;
    let solved = solved.map_err(|broken| failure(&broken, Some(&outcome.source)))?;
    let mut response = HashMap::new();
    for (number, exporter) in exporters.iter().enumerate() {
        one(inner, outcome, &solved, number, exporter, &mut response).await?;
    }
    Ok(response)
}

fn check(exporter: &Exporter) -> Result<(), Error> {
    match exporter.kind.as_str() {
        "moby" | "image" | "local" | "tar" => {}
        "oci" | "docker" => {}
        other => {
            return Err(Error::invalid(format!("exporter {other:?} could not be found"))
                .with_hint("image, docker, oci, tar and local are there"));
        }
    }
    if exporter.attrs.get("push").is_some_and(|push| push == "true") && exporter.kind == "image" {
        return Err(Error::not_implemented("pushing from within a build is not supported")
            .with_hint("push the image afterwards"));
    }
    Ok(())
}

async fn one(
    inner: &Arc<Inner>,
    outcome: &Outcome,
    solved: &Solved,
    number: usize,
    exporter: &Exporter,
    response: &mut HashMap<String, String>,
) -> Result<(), Status> {
    let builds = inner.engine.builds();
    let session = &outcome.session;
    let broken = |broken| failure(&broken, Some(&outcome.source));
    match exporter.kind.as_str() {
        "local" => {
            let task = "exporting to client directory";
            session.progress(task_event(task, false));
            filesend::folder(session.caller(), number, builds.files(solved).await?).await?;
            session.progress(task_event(task, true));
        }
        "tar" => {
            let task = "exporting to client tarball";
            session.progress(task_event(task, false));
            let root = builds.files(solved).await?;
            filesend::stream(session.caller(), number, move |out| filesend::tar(root, out)).await?;
            session.progress(task_event(task, true));
        }
        kind => {
            let text = exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
            let names = options::names(text)?;
            let archive = matches!(kind, "oci" | "docker");
            let id = builds.store(solved, &names, &**session).await.map_err(broken)?;
            response.insert("containerimage.config.digest".into(), id.to_string());
            response.insert("containerimage.digest".into(), digest(inner, &id.to_string()));
            if !names.is_empty() {
                let familiar: Vec<String> = names.iter().map(|name| name.clone().or_latest().to_string()).collect();
                response.insert("image.name".into(), familiar.join(","));
            }
            if archive {
                let names = match names.is_empty() {
                    true => vec![id.to_string()],
                    false => names.iter().map(|name| name.clone().or_latest().to_string()).collect(),
                };
                let images = inner.engine.images().clone();
                filesend::archive(session.caller(), number, images, names).await?;
            }
        }
    }
    Ok(())
}

fn task_event(name: &str, done: bool) -> wharf_engine::build::events::Event {
    wharf_engine::build::events::Event::Task { name: name.to_owned(), done }
}

/// The digest of an image's manifest.
pub(crate) fn digest(inner: &Inner, id: &str) -> String {
    match inner.engine.images().store().resolve(id) {
        Ok(image) => image.target.digest.to_string(),
        Err(_) => id.to_owned(),
    }
}
