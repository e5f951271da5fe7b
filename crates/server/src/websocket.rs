//! WebSocket (RFC 6455), as much of it as a process's streams need: the client's messages are standard input, ours are
//! output. The engine stays in the path of these streams, which end with it.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use wharf_engine::container::Connection;
use wharf_types::{Error, Result, ResultExt};

use crate::response::{self, Answer};

/// What every server adds to the client's key (RFC 6455, section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A client's message that is longer is refused.
const LONGEST: u64 = 16 << 20;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Answers `101`, and gives one end of a connection, whose other end speaks WebSocket with the client, to `connect`.
///
/// # Errors
/// `InvalidParameter` for a request that does not ask for a WebSocket.
pub(crate) fn upgrade<B, F, W>(request: Request<B>, connect: F) -> Result<Answer>
where
    B: Send + 'static,
    F: FnOnce(Connection) -> W + Send + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let headers = request.headers();
    let asks = headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks);
    let key = key.ok_or_else(|| Error::invalid("this address is for WebSocket clients"))?;
    let accept = STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(MAGIC).finalize());
    let accept = HeaderValue::from_str(&accept).map_err(|_| Error::system("the key cannot be answered"))?;
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let served = async {
            let client = upgraded.await.map_err(|error| Error::system("the client went away").caused_by(error))?;
            let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
            let theirs = theirs.into_std().context("cannot prepare a socket")?;
            connect(Connection { socket: theirs.into(), early: Vec::new() }).await?;
            serve(TokioIo::new(client), ours).await.context("the connection broke")
        };
        if let Err(error) = served.await {
            tracing::debug!(error = error.chain(), "a WebSocket ended");
        }
    });
    let mut answer = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// Passes messages on until either side is done.
async fn serve(client: impl AsyncRead + AsyncWrite + Send, process: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_process, mut to_process) = process.into_split();
    let (answers, mut to_answer) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    let incoming = async {
        while let Some((kind, payload)) = receive(&mut from_client).await? {
            match kind {
                TEXT | BINARY | CONTINUATION => to_process.write_all(&payload).await?,
                // Whoever does not read our answer does not need it.
                PING => drop(answers.try_send(payload)),
                CLOSE => break,
                _ => {}
            }
        }
        to_process.shutdown().await?;
        // The process may still have something to say; its end ends the other half.
        std::future::pending::<io::Result<()>>().await
    };
    let outgoing = async {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            tokio::select! {
                count = from_process.read(&mut buffer) => match count? {
                    0 => break,
                    count => to_client.write_all(&framed(BINARY, &buffer[..count])).await?,
                },
                Some(payload) = to_answer.recv() => to_client.write_all(&framed(PONG, &payload)).await?,
            }
        }
        // Normal closure.
        to_client.write_all(&framed(CLOSE, &1000_u16.to_be_bytes())).await?;
        to_client.shutdown().await
    };
    tokio::select! { done = incoming => done, done = outgoing => done }
}

/// The next message or piece of one: its kind and content. `None` at the end.
async fn receive(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 2];
    match client.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = match head[1] & 0x7f {
        126 => u64::from(client.read_u16().await?),
        127 => client.read_u64().await?,
        short => u64::from(short),
    };
    let is_masked = head[1] & 0x80 != 0;
    if length > LONGEST || !is_masked {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that no client may send"));
    }
    let mut mask = [0; 4];
    client.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
    client.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Some((head[0] & 0x0f, payload)))
}

/// A whole message of ours.
fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        medium @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_of_clients_are_unmasked() {
        // The example of RFC 6455, section 5.7.
        let mut masked = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58][..];
        assert_eq!(receive(&mut masked).await.unwrap(), Some((TEXT, b"Hello".to_vec())));
        assert_eq!(receive(&mut masked).await.unwrap(), None);
        let mut unmasked = &[0x81, 0x01, b'x'][..];
        assert!(receive(&mut unmasked).await.is_err());
    }

    #[test]
    fn lengths_take_as_much_room_as_they_need() {
        assert_eq!(framed(BINARY, b"ab"), [0x82, 2, b'a', b'b']);
        assert_eq!(framed(BINARY, &[0; 300])[..4], [0x82, 126, 1, 44]);
        assert_eq!(framed(BINARY, &[0; 70_000])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
