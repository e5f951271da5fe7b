//! What a registry is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::auth::Scheme;
use super::registry::Keeping;

/// Where content is kept.
#[derive(Debug, Clone)]
pub enum StoreAt {
    /// In a folder of this host.
    Folder(PathBuf),
    /// In a bucket, which several servers may share.
    Bucket(Bucket),
}

/// A bucket of an S3-compatible store.
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the keys in it begin with.
    pub prefix: String,
    /// The store's address, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// Access key and secret; without, those that the host's cloud gives it.
    pub credentials: Option<(String, String)>,
    /// The token that belongs to short-lived keys.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Bucket {
    /// Without the secrets, so that none gets into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Certificates for encrypted connections, both PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate and those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities; only clients with a certificate of one of them are let in.
    pub client_authorities: Option<PathBuf>,
}

/// Tokens that another service issues.
#[derive(Debug, Clone)]
pub struct ForeignTokens {
    /// Where clients get them.
    pub realm: String,
    /// Who issues them (`iss`).
    pub issuer: String,
    /// Whom they are for (`aud`).
    pub service: String,
    /// Public keys, certificates or a key set.
    pub keys: PathBuf,
}

/// Where the access log goes.
#[derive(Debug, Clone, Default)]
pub enum AccessLogTo {
    /// To standard error.
    #[default]
    Stderr,
    /// To the end of a file.
    File(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// A registry whose content is served, and kept, as if it were here.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The first parts of its repositories' names here; empty if everything here is of it.
    pub prefix: String,
    /// The registry: `docker.io`, `registry.example:5000`.
    pub domain: String,
    /// User there.
    pub username: String,
    /// Password of that user.
    pub password: String,
}

/// What a registry is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where content is kept.
    pub store: StoreAt,
    /// Where it listens; port 0 is a free one.
    pub listen: Vec<SocketAddr>,
    /// Certificates; without, connections are not encrypted.
    pub tls: Option<Tls>,
    /// Users and passwords, as `htpasswd -B` writes them; without, everybody may do everything.
    pub htpasswd: Option<PathBuf>,
    /// What users may do; without, everything.
    pub rules: Option<PathBuf>,
    /// Whether everybody may pull everything.
    pub anonymous_pull: bool,
    /// How users are asked.
    pub scheme: Scheme,
    /// Tokens that another service issues.
    pub foreign: Option<ForeignTokens>,
    /// The address by which clients know the registry.
    pub public_url: Option<String>,
    /// Registries whose content is served here.
    pub origins: Vec<Origin>,
    /// How they are reached.
    pub upstream: crate::client::Settings,
    /// How long a tag of theirs is served without asking again.
    pub fresh: Duration,
    /// A folder for downloads from them that are not in a file of the store.
    pub spool: PathBuf,
    /// How long things are kept.
    pub keeping: Keeping,
    /// Where the access log goes.
    pub access_log: AccessLogTo,
}

impl Config {
    /// A registry in a folder that everybody who reaches the address may use.
    pub fn new(root: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            store: StoreAt::Folder(root.into()),
            listen: vec![listen],
            tls: None,
            htpasswd: None,
            rules: None,
            anonymous_pull: false,
            scheme: Scheme::Token,
            foreign: None,
            public_url: None,
            origins: Vec::new(),
            upstream: crate::client::Settings::default(),
            fresh: Duration::from_secs(60),
            spool: PathBuf::from("/var/tmp"),
            keeping: Keeping::default(),
            access_log: AccessLogTo::default(),
        }
    }
}
