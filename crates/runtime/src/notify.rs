//! Handing over where a program's system calls are notified of (runtime specification, `listenerPath`).

use std::os::fd::{AsFd, OwnedFd};

use serde_json::json;
use wharf_types::{Error, Result, ResultExt};

use crate::seccomp::Profile;
use crate::spec::Seccomp;

/// Who is to decide about system calls.
#[derive(Debug)]
pub(crate) struct Notify {
    path: String,
    metadata: String,
    id: String,
}

impl Notify {
    /// Who that is, if the filter asks for one.
    pub(crate) fn of(seccomp: &Seccomp, id: &str) -> Result<Option<Self>> {
        // Only a profile that names a listener needs to be read here, which is rare.
        let Seccomp::Profile(json) = seccomp else { return Ok(None) };
        if !json.contains("listenerPath") {
            return Ok(None);
        }
        let listener = Profile::parse(json)?.listener();
        Ok(listener.map(|(path, metadata)| Self { path, metadata, id: id.to_owned() }))
    }

    /// Sends the descriptor to the listener, with who it is about.
    pub(crate) fn pass(notify: Option<&Self>, pid: i32, listener: &OwnedFd) -> Result<()> {
        let Some(notify) = notify else {
            return Err(Error::invalid("the seccomp profile notifies, but names no listenerPath"));
        };
        let state = json!({
            "ociVersion": crate::VERSION, "fds": ["seccompFd"], "pid": pid, "metadata": notify.metadata,
            "state": { "ociVersion": crate::VERSION, "id": notify.id, "status": "creating", "pid": pid, "bundle": "" },
        });
        let failed = || format!("cannot hand the seccomp listener to {}", notify.path);
        let socket = std::os::unix::net::UnixStream::connect(&notify.path).with_context(failed)?;
        wharf_sys::packet::send(&socket, state.to_string().as_bytes(), &[listener.as_fd()]).with_context(failed)
    }
}
