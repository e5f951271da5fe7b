//! The client's SSH agent: a socket on this host whose connections are calls to the client.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use wharf_types::{Result, ResultExt};

use crate::grpc::{Channel, Code};
use crate::proto::{BytesMessage, CheckAgentRequest, Empty};
use crate::session::Caller;

/// A socket that goes with its build.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, socket = %self.socket.display(), "an agent's socket was not removed");
        }
    }
}

/// Opens a socket in `folder` for the agent of this id; `None` where the client forwards none.
pub(crate) async fn forward(caller: &Caller, id: &str, folder: &Path) -> Result<Option<Agent>> {
    if !caller.answers("/moby.sshforward.v1.SSH/CheckAgent") {
        return Ok(None);
    }
    let question = CheckAgentRequest { id: id.to_owned() };
    match caller.channel.unary::<_, Empty>("/moby.sshforward.v1.SSH/CheckAgent", &question).await {
        Ok(_) => {}
        Err(status) if status.is(Code::NotFound) || status.is(Code::Unknown) => return Ok(None),
        Err(status) => return Err(status.into_error()),
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let socket =
        folder.join(format!("agent-{}", wharf_types::Digest::of(format!("{id} {:p}", caller).as_bytes()).hex()));
    drop(std::fs::remove_file(&socket));
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let (channel, id) = (caller.channel.clone(), id.to_owned());
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(channel.clone(), id.clone(), stream));
        }
    });
    Ok(Some(Agent { socket, task }))
}

/// One connection of a step to the agent.
async fn relay(channel: Channel, id: String, stream: UnixStream) {
    let metadata = [("buildkit.ssh.id", id.as_str())];
    let Ok((sent, mut received)) = channel.open("/moby.sshforward.v1.SSH/ForwardAgent", &metadata) else { return };
    let (mut reader, mut writer) = stream.into_split();
    let there = async move {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            if sent.send(&BytesMessage { data: buffer[..length].to_vec() }).await.is_err() {
                return;
            }
        }
    };
    let back = async move {
        while let Ok(Some(message)) = received.next::<BytesMessage>().await {
            if writer.write_all(&message.data).await.is_err() {
                return;
            }
        }
        drop(writer.shutdown().await);
    };
    tokio::join!(there, back);
}
