//! Puts a registry together and serves it.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wharf_types::{Result, ResultExt};

use super::auth::{Foreign, Guard, Issuer, Passwords, PublicKeys, Reloaded, Rules, Scheme, Verifier};
use super::cache::{self, Cache, Remote};
use super::config::{AccessLogTo, Config, StoreAt};
use super::door::{AccessLog, Door};
use super::listen::{self, Encryption};
use super::metrics::Metrics;
use super::registry::Registry;
use super::store::{BucketStore, FileStore, Store};

/// How long a client may take to send a request's headers, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long requests that are being answered may go on after the end was announced.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long to wait when no descriptor is left for the next connection.
const BREATH: Duration = Duration::from_millis(100);
/// How much of a body is read at once.
const BUFFER: usize = 256 << 10;

/// A registry that listens and does not answer yet.
pub struct Server {
    door: Arc<Door>,
    listeners: Vec<TcpListener>,
    encryption: Option<Arc<Encryption>>,
}

impl Server {
    /// Opens the store, reads the files and listens. Reads no content, however much there is.
    pub async fn open(config: &Config) -> Result<Self> {
        let encryption = config.tls.as_ref().map(Encryption::open).transpose()?.map(Arc::new);
        let store: Arc<dyn Store> = match &config.store {
            StoreAt::Folder(root) => Arc::new(FileStore::open(root)?),
            StoreAt::Bucket(bucket) => {
                let store = BucketStore::open(bucket)?;
                // A wrong key is told now and not to the first client.
                store.check().await?;
                Arc::new(store)
            }
        };
        let metrics = Arc::new(Metrics::default());
        let guard = guard(config, &*store, &metrics).await?;
        let registry = Arc::new(Registry::new(store, config.keeping.clone()));
        let log = access_log(&config.access_log)?;
        let listeners = config.listen.iter().map(|address| listen::bind(*address)).collect::<Result<_>>()?;
        let door = Arc::new(Door::new(registry, guard, cache(config), metrics, log));
        Ok(Self { door, listeners, encryption })
    }

    /// The addresses with the ports that were chosen for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers requests until `shutdown` is ready, then finishes those that are being answered.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let farewell = Arc::new(GracefulShutdown::new());
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            let loop_ = accept(listener, Arc::clone(&self.door), self.encryption.clone(), Arc::clone(&farewell));
            tasks.spawn(loop_);
        }
        let (registry, metrics) = (Arc::clone(&self.door.registry), Arc::clone(&self.door.metrics));
        tasks.spawn(async move { registry.collect_always(|step| metrics.collected(step)).await });
        shutdown.await;
        tasks.shutdown().await;
        let Ok(farewell) = Arc::try_unwrap(farewell).map_err(|_| ()) else { return };
        if tokio::time::timeout(FAREWELL, farewell.shutdown()).await.is_err() {
            tracing::warn!("some requests took too long and were cut");
        }
    }
}

/// Opens a registry and serves it.
pub async fn serve(config: &Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    Server::open(config).await?.run(shutdown).await;
    Ok(())
}

async fn guard(config: &Config, store: &dyn Store, metrics: &Arc<Metrics>) -> Result<Guard> {
    let passwords = config.htpasswd.as_deref().map(Passwords::open).transpose()?;
    let rules = config.rules.as_deref().map(|path| Reloaded::open(&[path], Rules::read)).transpose()?;
    let issuer = match (&passwords, config.scheme) {
        (Some(_), Scheme::Token) => Some(Issuer::of(store, "wharf-registry").await?),
        _ => None,
    };
    let foreign = match &config.foreign {
        None => None,
        Some(foreign) => Some(Foreign {
            realm: foreign.realm.clone(),
            verifier: Verifier::new(
                foreign.issuer.clone(),
                foreign.service.clone(),
                Reloaded::open(&[&foreign.keys], PublicKeys::read)?,
            ),
        }),
    };
    Ok(Guard {
        passwords,
        rules,
        anonymous_pull: config.anonymous_pull,
        issuer,
        foreign,
        public_url: config.public_url.clone(),
        tls: config.tls.is_some(),
        metrics: Arc::clone(metrics),
    })
}

fn cache(config: &Config) -> Cache {
    let client = crate::client::Registry::new(config.upstream.clone());
    let origins = config.origins.iter().map(|origin| {
        let credentials = crate::client::Credentials {
            username: origin.username.clone(),
            password: origin.password.clone(),
            ..Default::default()
        };
        let remote = Remote::new(client.clone(), &origin.domain, credentials);
        let prefix = origin.prefix.trim_matches('/').to_owned();
        cache::Origin { prefix, library: remote.has_library(), upstream: Arc::new(remote) }
    });
    Cache::new(origins.collect(), config.fresh, config.spool.clone())
}

fn access_log(to: &AccessLogTo) -> Result<AccessLog> {
    Ok(match to {
        AccessLogTo::Nowhere => AccessLog::default(),
        AccessLogTo::Stderr => AccessLog::to(std::io::stderr()),
        AccessLogTo::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            AccessLog::to(file.with_context(|| format!("cannot write the access log {}", path.display()))?)
        }
    })
}

async fn accept(
    listener: TcpListener,
    door: Arc<Door>,
    encryption: Option<Arc<Encryption>>,
    farewell: Arc<GracefulShutdown>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // Answers are small or large, never both in pieces.
        let _ = stream.set_nodelay(true);
        let door = Arc::clone(&door);
        let watcher = farewell.watcher();
        match &encryption {
            None => {
                tokio::spawn(async move { connection(stream, peer, door, watcher).await });
            }
            Some(encryption) => {
                let acceptor = encryption.acceptor();
                tokio::spawn(async move {
                    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => connection(stream, peer, door, watcher).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no encryption was agreed on"),
                        Err(_) => tracing::debug!(%peer, "a client did not shake hands"),
                    }
                });
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    door: Arc<Door>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request, peer).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(served).await {
        // The client went away or spoke something else; there is nobody to tell.
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
