//! `/exec/...` and `/containers/{id}/exec`

use std::os::fd::OwnedFd;

use http::{Method, StatusCode};
use wharf_api::exec::{ExecConfig, ExecCreated, ExecStart};
use wharf_engine::container::{Connection, ExecTicket};
use wharf_types::{Error, Result};

use crate::Server;
use crate::containers::size;
use crate::hijack::{self, content_type};
use crate::request::Call;
use crate::response::{self, Answer, created, ok};
use crate::route::page_not_found;

pub(crate) async fn route(server: &Server, method: &Method, id: &str, action: &str, call: Call) -> Result<Answer> {
    match (method, action) {
        (&Method::GET, "json") => ok(&server.engine.containers().exec_inspect(id).await?),
        (&Method::POST, "start") => start(server, id, call).await,
        (&Method::POST, "resize") => {
            let (rows, columns) = size(&call)?;
            server.engine.containers().exec_resize(id, rows, columns).await?;
            Ok(response::empty(StatusCode::OK))
        }
        _ => Err(page_not_found()),
    }
}

pub(crate) async fn create(server: &Server, container: &str, call: Call) -> Result<Answer> {
    let config: ExecConfig = call.json().await?;
    let id = server.engine.containers().exec_create(container, config)?;
    created(&ExecCreated { id })
}

async fn start(server: &Server, id: &str, call: Call) -> Result<Answer> {
    let (version, upgrade) = (call.version, call.wants_upgrade());
    let (start, request) = call.take_json::<ExecStart>().await?;
    let start = start.unwrap_or_default();
    let ticket = server.engine.containers().exec_start(id, &start)?;
    if start.detach {
        ticket.detached().await?;
        return Ok(response::empty(StatusCode::OK));
    }
    let content_type = content_type(version, ticket.tty);
    if upgrade {
        return Ok(hijack::upgrade(request, content_type, |connection| connect(ticket, connection)));
    }
    hijack::relay(None, content_type, |connection| connect(ticket, connection)).await
}

/// Starts the process. A failure is told on the stream, for the answer's status is out already.
async fn connect(ticket: ExecTicket, connection: Connection) -> Result<()> {
    let tty = ticket.tty;
    let again = connection.socket.try_clone()?;
    let started = ticket.connect(connection).await;
    if let Err(error) = &started {
        tell(&again, tty, error);
    }
    started
}

/// Standard output in Docker's frames; Docker's clients look for failures there.
const STDOUT: u8 = 1;

fn tell(client: &OwnedFd, tty: bool, error: &Error) {
    let text = format!("{}\r\n", error.chain());
    let bytes = if tty { text.into_bytes() } else { crate::logs::frame(STDOUT, text.as_bytes()) };
    if let Err(error) = rustix::io::write(client, &bytes) {
        tracing::debug!(%error, "the client was gone before it could be told");
    }
}
