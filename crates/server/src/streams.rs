//! Attaching to a container's first process.

use http::Request;
use wharf_engine::container::{AttachOptions, Connection};
use wharf_types::{Error, Result};

use crate::Server;
use crate::hijack::{self, content_type};
use crate::request::Call;
use crate::response::Answer;

pub(crate) async fn attach(server: &Server, id: &str, call: Call) -> Result<Answer> {
    let query = &call.query;
    let options = AttachOptions {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.option("detachKeys").map(str::to_owned),
        raw: false,
    };
    if query.flag("logs") && !query.flag("stream") {
        return crate::logs::attach_with_logs(server, id, &options, &call);
    }
    if !query.flag("stream") {
        return Err(Error::invalid("nothing to attach: neither logs nor stream was asked for"));
    }
    let ticket = server.engine.containers().attach(id, &options)?;
    let content_type = content_type(call.version, ticket.tty);
    if query.flag("logs") {
        let past = crate::logs::past(server, id, &options)?;
        let connect = |connection: Connection| async move {
            let connection = crate::logs::send_past(past, connection).await?;
            ticket.connect(connection).await
        };
        return join(call, options.stdin, content_type, connect).await;
    }
    join(call, options.stdin, content_type, |connection: Connection| ticket.connect(connection)).await
}

/// The same over a WebSocket, for browsers: without frames of Docker's, in binary messages.
pub(crate) fn attach_websocket(server: &Server, id: &str, call: Call) -> Result<Answer> {
    let query = &call.query;
    let any = ["stdin", "stdout", "stderr"].iter().any(|name| query.flag(name));
    let options = AttachOptions {
        stdin: query.flag("stdin") || !any,
        stdout: query.flag("stdout") || !any,
        stderr: query.flag("stderr") || !any,
        detach_keys: query.option("detachKeys").map(str::to_owned),
        raw: true,
    };
    let past = if query.flag("logs") { Some(crate::logs::past(server, id, &options)?) } else { None };
    let ticket = server.engine.containers().attach(id, &options)?;
    let connect = |mut connection: Connection| async move {
        if let Some(past) = past {
            connection = crate::logs::send_past(past, connection).await?;
        }
        ticket.connect(connection).await
    };
    crate::websocket::upgrade(call.into_request(), connect)
}

/// Connects the client by upgrade or, where it does not ask for one, by relay.
async fn join<F, W>(call: Call, stdin: bool, content_type: &'static str, connect: F) -> Result<Answer>
where
    F: FnOnce(Connection) -> W + Send + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    if call.wants_upgrade() {
        return Ok(hijack::upgrade(call.into_request(), content_type, connect));
    }
    let input = stdin.then(|| Request::into_body(call.into_request()));
    hijack::relay(input, content_type, connect).await
}
