//! The flags about registries, the same for `wharf engine` and `dockerd`.

use std::path::PathBuf;

use clap::Args;
use wharf_registry::client::{Mirror, Proxies, Settings};

use crate::env;

/// Folders that are looked into unless others are named: one's own, Docker's, containerd's.
const HOSTS_DIRS: [&str; 3] = ["/etc/wharf/certs.d", "/etc/docker/certs.d", "/etc/containerd/certs.d"];

/// How registries are spoken to.
#[derive(Debug, Clone, Args)]
pub struct Registries {
    /// Mirror of Docker Hub, or of another registry as REGISTRY=URL (repeatable)
    #[arg(long, value_name = "URL")]
    registry_mirror: Vec<Mirror>,
    /// Registry whose certificate is not checked and that may speak plain HTTP: HOST[:PORT] or a range (repeatable)
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// Folder with hosts.toml and certificates per registry (repeatable) [default: /etc/wharf/certs.d, /etc/docker/certs.d, /etc/containerd/certs.d]
    #[arg(long, value_name = "DIR")]
    hosts_dir: Vec<PathBuf>,
    /// Proxy for http:// addresses [default: http_proxy]
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,
    /// Proxy for https:// addresses [default: https_proxy]
    #[arg(long, value_name = "URL")]
    https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas [default: no_proxy]
    #[arg(long, value_name = "LIST")]
    no_proxy: Option<String>,
    /// Layers that are downloaded at once
    #[arg(long, value_name = "NUMBER", default_value_t = wharf_engine::DEFAULT_DOWNLOADS)]
    pub max_concurrent_downloads: usize,
    /// Layers that are uploaded at once
    #[arg(long, value_name = "NUMBER", default_value_t = wharf_engine::DEFAULT_UPLOADS)]
    pub max_concurrent_uploads: usize,
    /// Failures in a row after which a download is given up
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    max_download_attempts: u32,
}

impl Registries {
    /// The settings for the client; proxies that no flag names come from the environment.
    pub fn settings(&self) -> Settings {
        let proxy = |flag: &Option<String>, name: &str| flag.clone().or_else(|| env::proxy(name));
        let hosts_dirs = match self.hosts_dir.is_empty() {
            true => HOSTS_DIRS.iter().map(PathBuf::from).collect(),
            false => self.hosts_dir.clone(),
        };
        Settings {
            mirrors: self.registry_mirror.clone(),
            insecure: self.insecure_registry.clone(),
            hosts_dirs,
            proxies: Proxies {
                http: proxy(&self.http_proxy, "http_proxy"),
                https: proxy(&self.https_proxy, "https_proxy"),
                except: proxy(&self.no_proxy, "no_proxy"),
            },
            attempts: self.max_download_attempts.max(1),
            ..Settings::default()
        }
    }
}
