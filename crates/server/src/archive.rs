//! `/containers/{id}/archive`: files in and out of containers.

use base64::Engine as _;
use http::{HeaderName, HeaderValue, StatusCode};
use wharf_api::container::PathStat;
use wharf_api::system::header::PATH_STAT;
use wharf_engine::container::PutOptions;
use wharf_types::{Error, Result};

use crate::request::Call;
use crate::response::{self, Answer};
use crate::{Server, transfer};

pub(crate) async fn stat(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    let stat = server.engine.containers().archive_stat(id, path(call)?).await?;
    with_stat(response::empty(StatusCode::OK), &stat)
}

pub(crate) async fn get(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    let path = path(call)?.to_owned();
    let stat = server.engine.containers().archive_stat(id, &path).await?;
    let (containers, id) = (server.engine.containers().clone(), id.to_owned());
    let write = move |out| async move { containers.archive_get(&id, &path, out).await };
    with_stat(transfer::download("application/x-tar", write).await?, &stat)
}

pub(crate) async fn put(server: &Server, id: &str, call: Call) -> Result<Answer> {
    let path = path(&call)?.to_owned();
    let options = PutOptions { replace: !call.query.flag("noOverwriteDirNonDir"), own: call.query.flag("copyUIDGID") };
    server.engine.containers().archive_put(id, &path, options, call.into_reader()).await?;
    Ok(response::empty(StatusCode::OK))
}

fn path(call: &Call) -> Result<&str> {
    call.query.option("path").ok_or_else(|| Error::invalid("bad parameter: path cannot be empty"))
}

/// Puts what is known of the path into a header, as base64 of JSON.
fn with_stat(mut answer: Answer, stat: &PathStat) -> Result<Answer> {
    let unsendable = || Error::system("what is known of the path cannot be sent");
    let json = serde_json::to_vec(stat).map_err(|error| unsendable().caused_by(error))?;
    let encoded = base64::engine::general_purpose::STANDARD.encode(json);
    let value = HeaderValue::try_from(encoded).map_err(|error| unsendable().caused_by(error))?;
    answer.headers_mut().insert(HeaderName::from_static(PATH_STAT), value);
    Ok(answer)
}
