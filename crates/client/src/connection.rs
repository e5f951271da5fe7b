//! Connections, kept and used again.

use std::sync::Mutex;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use wharf_types::{Error, Kind, Result};

use crate::body::RequestBody;
use crate::endpoint::Endpoint;
use crate::wire::Wire;

/// How many idle connections are kept; more are closed.
const KEPT: usize = 8;

/// A connection that is ready for a request.
pub(crate) type Sender = SendRequest<RequestBody>;

/// Connections to one engine.
pub(crate) struct Pool {
    endpoint: Endpoint,
    idle: Mutex<Vec<Sender>>,
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request over a kept connection or a new one; the connection comes with the answer.
    ///
    /// A kept connection that the engine has closed meanwhile takes nothing; the request then goes over a new one.
    pub(crate) async fn send(&self, mut request: Request<RequestBody>) -> Result<(Response<Incoming>, Sender)> {
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(failed.into_error())),
                },
            }
        }
        let mut sender = self.open().await?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok((response, sender))
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) async fn give_back(&self, mut sender: Sender) {
        if sender.ready().await.is_err() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(sender);
        }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn open(&self) -> Result<Sender> {
        let wire: Wire = self.endpoint.wire().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(|error| self.broken(error))?;
        // The task ends with the connection: when the sender and the answer's body are gone, or the engine closes it.
        // What goes wrong on it is told to whoever waits for an answer, so nothing is lost here.
        tokio::spawn(async move { connection.with_upgrades().await });
        Ok(sender)
    }

    pub(crate) fn broken(&self, error: hyper::Error) -> Error {
        Error::new(Kind::Unavailable, format!("the connection to the engine at {} broke", self.endpoint))
            .caused_by(error)
    }
}
