//! A build's client at the other end of a session.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use wharf_build::dockerfile::{self, lint};
use wharf_build::host::{Files, Future, RegistryLogin, Session};
use wharf_build::ignore::Ignore;
use wharf_engine::build::events::Event;
use wharf_engine::build::{Broken, ContextLease, Prepared, Request, Source};
use wharf_types::{Error, Result};

use crate::Inner;
use crate::filesync::{self, Pieces, Wanted};
use crate::grpc::Code;
use crate::job::Job;
use crate::options::{Asked, Place};
use crate::proto::{BytesMessage, CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse};
use crate::session::Caller;
use crate::ssh::{self, Agent};

/// The registry that people mean when they name none, and what credentials call it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");
/// What loading the Dockerfile is called.
const DEFINITION: &str = "[internal] load build definition";

/// A build that was planned and waits for what is wanted of it.
pub(crate) struct Outcome {
    pub(crate) session: Arc<Remote>,
    pub(crate) source: Source,
    pub(crate) prepared: Mutex<Option<Prepared>>,
}

/// One client's side of one build.
pub(crate) struct Remote {
    caller: Arc<Caller>,
    inner: Arc<Inner>,
    job: Arc<Job>,
    asked: Asked,
    /// Rules of the main context that came along with the Dockerfile.
    ignore: Mutex<Option<Ignore>>,
    files: tokio::sync::Mutex<HashMap<String, ContextLease>>,
    agents: tokio::sync::Mutex<HashMap<String, Agent>>,
}

impl Remote {
    pub(crate) fn new(inner: Arc<Inner>, caller: Arc<Caller>, job: Arc<Job>, asked: Asked) -> Self {
        Self {
            caller,
            inner,
            job,
            asked,
            ignore: Mutex::default(),
            files: tokio::sync::Mutex::default(),
            agents: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The Dockerfile.
    pub(crate) async fn source(&self) -> Result<Source> {
        self.task(DEFINITION, false);
        let source = self.read_source().await;
        self.task(DEFINITION, true);
        source
    }

    async fn read_source(&self) -> Result<Source> {
        let path = self.asked.filename.trim_start_matches('/');
        let missing = || Error::not_found(format!("failed to read dockerfile: open {path}: no such file or directory"));
        let Some(folder) = &self.asked.dockerfile_folder else {
            self.files("").await?;
            let files = self.files.lock().await;
            let lease = files.get("").ok_or_else(missing)?;
            return Ok(Source::new(path, lease.read(path).await?.ok_or_else(missing)?));
        };
        let own_ignore = format!("{path}.dockerignore");
        let include = vec![path.to_owned(), own_ignore.clone(), path.to_ascii_lowercase()];
        let wanted = Wanted { folder: folder.clone(), include, exclude: Vec::new() };
        let files = filesync::small(&self.caller, &wanted).await?;
        let text = |name: &str| files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if let Some(ignore) = text(&own_ignore) {
            let ignore = Ignore::parse(&ignore).map_err(Error::invalid)?;
            *self.ignore.lock().unwrap_or_else(PoisonError::into_inner) = Some(ignore);
        }
        let found = text(path).or_else(|| text(&path.to_ascii_lowercase())).ok_or_else(missing)?;
        Ok(Source::new(path, found))
    }

    /// The rules of a folder's own `.dockerignore`.
    async fn rules(&self, folder: &str, is_main: bool) -> Result<Ignore> {
        let own = self.ignore.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(own) = own.filter(|_| is_main) {
            return Ok(own);
        }
        let wanted = Wanted { folder: folder.to_owned(), include: vec![".dockerignore".into()], exclude: Vec::new() };
        let files = filesync::small(&self.caller, &wanted).await?;
        let text = files.get(".dockerignore").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Ignore::parse(&text.unwrap_or_default()).map_err(Error::invalid)
    }

    async fn fetch(&self, name: &str) -> Result<ContextLease> {
        let place = match name {
            "" => &self.asked.context,
            name => self
                .asked
                .named
                .get(name)
                .ok_or_else(|| Error::not_found(format!("there is no context named {name}")))?,
        };
        let contexts = self.inner.engine.builds().contexts();
        let task =
            if name.is_empty() { "[internal] load build context".to_owned() } else { format!("[context {name}] load") };
        self.task(&task, false);
        let fetched = async {
            match place {
                Place::Folder(folder) => {
                    let exclude = self.rules(folder, name.is_empty()).await?.patterns();
                    let wanted = Wanted { folder: folder.clone(), include: Vec::new(), exclude };
                    let (lease, bytes) = filesync::context(&self.caller, &wanted, contexts).await?;
                    self.job.with(|teller| Some(teller.line(&task, "transferring context:", bytes)));
                    Ok(lease)
                }
                Place::Upload(path) => contexts.receive(self.upload(path)?).await,
                Place::Address(address) => self.inner.engine.builds().fetch_context(address).await,
            }
        };
        let fetched = fetched.await;
        self.task(&task, true);
        fetched
    }

    /// An archive that the client has.
    fn upload(&self, path: &str) -> Result<Pieces> {
        let metadata = [("urlpath", path), ("urlhost", "buildkit-session")];
        let opened = self.caller.channel.open("/moby.upload.v1.Upload/Pull", &metadata);
        let (sent, mut received) = opened.map_err(|status| status.into_error())?;
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            drop(sent);
            // What breaks off is a broken archive to those who read it.
            while let Ok(Some(message)) = received.next::<BytesMessage>().await {
                if sender.send(Bytes::from(message.data)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Pieces { receiver, piece: Bytes::new() })
    }

    fn task(&self, name: &str, done: bool) {
        self.job.with(|teller| Some(teller.task(name, done)));
    }
}

impl Session for Remote {
    fn files<'a>(&'a self, name: &'a str) -> Future<'a, Result<Files>> {
        Box::pin(async move {
            let mut files = self.files.lock().await;
            if let Some(lease) = files.get(name) {
                return Ok(lease.files.clone());
            }
            let lease = self.fetch(name).await?;
            let found = lease.files.clone();
            files.insert(name.to_owned(), lease);
            Ok(found)
        })
    }

    fn secret<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<Vec<u8>>>> {
        const METHOD: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
        Box::pin(async move {
            if !self.caller.answers(METHOD) {
                return Ok(None);
            }
            let question = GetSecretRequest { id: id.to_owned() };
            match self.caller.channel.unary::<_, GetSecretResponse>(METHOD, &question).await {
                Ok(answer) => Ok(Some(answer.data)),
                Err(status) if status.is(Code::NotFound) => Ok(None),
                Err(status) => Err(status.into_error()),
            }
        })
    }

    fn ssh_agent<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<PathBuf>>> {
        Box::pin(async move {
            let mut agents = self.agents.lock().await;
            if !agents.contains_key(id) {
                let folder = self.inner.engine.config().run.join("agents");
                match ssh::forward(&self.caller, id, &folder).await? {
                    Some(agent) => drop(agents.insert(id.to_owned(), agent)),
                    None => return Ok(None),
                }
            }
            Ok(agents.get(id).map(|agent| agent.socket.clone()))
        })
    }

    fn registry_login<'a>(&'a self, domain: &'a str) -> Future<'a, Result<Option<RegistryLogin>>> {
        const METHOD: &str = "/moby.filesync.v1.Auth/Credentials";
        Box::pin(async move {
            if !self.caller.answers(METHOD) {
                return Ok(None);
            }
            let host = if domain == HUB.0 { HUB.1 } else { domain };
            let question = CredentialsRequest { host: host.to_owned() };
            let answer = self.caller.channel.unary::<_, CredentialsResponse>(METHOD, &question).await;
            let answer = answer.map_err(|status| status.into_error())?;
            if answer.secret.is_empty() {
                return Ok(None);
            }
            // Without a name it is a token.
            Ok(Some(match answer.username.is_empty() {
                true => RegistryLogin { identity_token: answer.secret, ..RegistryLogin::default() },
                false => {
                    RegistryLogin { username: answer.username, password: answer.secret, ..RegistryLogin::default() }
                }
            }))
        })
    }

    fn progress(&self, event: Event) {
        self.job.event(event);
    }
}

/// Reads the Dockerfile and plans.
pub(crate) async fn prepare(session: Arc<Remote>) -> std::result::Result<Outcome, (Broken, Option<Source>)> {
    let source = session.source().await.map_err(|error| (Broken::Other(error, None), None))?;
    warn(&session, &source);
    let request = Request {
        source: source.clone(),
        options: session.asked.options.clone(),
        names: Vec::new(),
        pull: session.asked.pull,
    };
    let prepared = session.inner.engine.builds().prepare(request, &*session).await;
    let prepared = prepared.map_err(|broken| (broken, Some(source.clone())))?;
    Ok(Outcome { session, source, prepared: Mutex::new(Some(prepared)) })
}

/// What the linter finds. A text that cannot be read is no business of the linter's.
pub(crate) fn lint(source: &Source, build_args: &BTreeMap<String, String>) -> Vec<lint::Warning> {
    let Ok(file) = dockerfile::parse(source) else { return Vec::new() };
    lint::check(&file, &lint::Known { build_args: build_args.clone(), ignore: Ignore::default() })
}

fn warn(session: &Remote, source: &Source) {
    for warning in lint(source, &session.asked.options.build_args) {
        session.job.with(|teller| Some(teller.warning(source, &warning)));
    }
}
