//! Clients that lend things to their builds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use tokio::sync::Notify;
use wharf_types::{Error, Result};

use crate::grpc::Channel;

/// How long a build waits for the session that it names.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client says of itself in the headers of `POST /session`.
#[derive(Debug, Clone, Default)]
pub struct Introduction {
    /// `X-Docker-Expose-Session-Uuid`.
    pub id: String,
    /// `X-Docker-Expose-Session-Sharedkey`: the same for all builds of one folder.
    pub shared_key: String,
    /// `X-Docker-Expose-Session-Grpc-Method`: what it answers.
    pub methods: Vec<String>,
}

/// One client's session.
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) introduction: Introduction,
    methods: HashSet<String>,
}

impl Caller {
    /// Whether the client answers a method; clients of old write them as they like.
    pub(crate) fn answers(&self, method: &str) -> bool {
        self.methods.contains(&method.to_ascii_lowercase())
    }
}

/// All sessions of an engine.
#[derive(Default)]
pub(crate) struct Sessions {
    known: Mutex<HashMap<String, Arc<Caller>>>,
    arrived: Notify,
}

impl Sessions {
    pub(crate) async fn keep(&self, connection: Upgraded, introduction: Introduction) {
        let id = introduction.id.clone();
        let (channel, driver) = match Channel::connect(connection).await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::debug!(%error, session = id, "a session could not be opened");
                return;
            }
        };
        let methods = introduction.methods.iter().map(|method| method.to_ascii_lowercase()).collect();
        let caller = Arc::new(Caller { channel, introduction, methods });
        self.known().insert(id.clone(), Arc::clone(&caller));
        self.arrived.notify_waiters();
        // The end of the task is the end of the session, whatever was its reason.
        drop(driver.await);
        let mut known = self.known();
        if known.get(&id).is_some_and(|present| Arc::ptr_eq(present, &caller)) {
            known.remove(&id);
        }
    }

    /// The session of this id, which may be about to arrive.
    pub(crate) async fn find(&self, id: &str) -> Result<Arc<Caller>> {
        let missing = || Error::not_found(format!("no active session for {id}")).with_hint("the client went away");
        if id.is_empty() {
            return Err(Error::invalid("the build names no session").with_hint("connect one with POST /session"));
        }
        let wait = async {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(caller) = self.known().get(id) {
                    return Arc::clone(caller);
                }
                arrived.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| missing())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Caller>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
