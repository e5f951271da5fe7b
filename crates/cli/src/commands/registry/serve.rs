//! `registry serve`: serves images to others.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use wharf_registry::client::{Proxies, Settings};
use wharf_registry::server::{self, AccessLogTo, Bucket, Config, ForeignTokens, Keeping, Origin, StoreAt, Tls};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::output::{self, journal};

/// What `registry serve` takes.
#[derive(Debug, Args)]
pub struct ServeFlags {
    /// Folder that keeps the content, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR", default_value = "/var/lib/wharf-registry")]
    root: String,
    /// Address of an S3-compatible store that is not Amazon's
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    s3_region: String,
    /// Serve, and keep, what another registry has, all of it or below a name: [NAME=]REGISTRY (repeatable)
    #[arg(long, value_name = "REGISTRY")]
    cache: Vec<String>,
    /// User at the registries that are cached; the password is in WHARF_CACHE_PASSWORD
    #[arg(long, value_name = "USER")]
    cache_user: Option<String>,
    /// Ask upstream again what a tag stands for after this time
    #[arg(long, value_name = "TIME", default_value = "1m")]
    cache_fresh: String,
    /// Delete what came from upstream and nobody has asked for in this time
    #[arg(long, value_name = "TIME", default_value = "30d")]
    cache_expiry: String,
    /// Address to listen on (repeatable); port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    listen: Vec<String>,
    /// Certificate chain (PEM); read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Let only clients in that show a certificate of these authorities (PEM); read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Users and passwords, as 'htpasswd -B' writes them; read again when it changes
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// What users may do with which repositories; read again when it changes
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Let everybody pull everything
    #[arg(long)]
    anonymous_pull: bool,
    /// How clients show who they are: a token for a password, or the password each time
    #[arg(long, value_enum, value_name = "WAY", default_value_t = Scheme::Token)]
    auth: Scheme,
    /// Where clients get tokens that another service issues
    #[arg(long, value_name = "URL")]
    token_realm: Option<String>,
    /// Issuer of those tokens
    #[arg(long, value_name = "NAME")]
    token_issuer: Option<String>,
    /// Service that those tokens are for
    #[arg(long, value_name = "NAME")]
    token_service: Option<String>,
    /// Public keys or certificates (PEM) or key set (JSON) of the issuer
    #[arg(long, value_name = "FILE")]
    token_keys: Option<PathBuf>,
    /// Address by which clients know the registry, where a proxy hides it
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where the access log goes: '-' is standard error, 'none' is nowhere
    #[arg(long, value_name = "FILE", default_value = "-")]
    access_log: String,
    /// Keep content that no manifest names for this time
    #[arg(long, value_name = "TIME", default_value = "24h")]
    grace: String,
    /// Forget uploads that nobody goes on with after this time
    #[arg(long, value_name = "TIME", default_value = "24h")]
    upload_expiry: String,
    /// Delete manifests that have lost their last tag after this time (default: never)
    #[arg(long, value_name = "TIME")]
    untagged_expiry: Option<String>,
    /// Look at everything once in this time for what may go
    #[arg(long, value_name = "TIME", default_value = "1h")]
    gc_cycle: String,
}

/// How clients show who they are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scheme {
    /// A password once, for a token.
    Token,
    /// A password each time.
    Basic,
}

definition! {
    ServeFlags, serve,
    names: &["registry serve"],
    about: "Serve images to others, from a folder of this host or a bucket",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn serve(_app: &App, flags: ServeFlags) -> Outcome {
    let config = flags.resolve()?;
    journal::to_stderr("info")?;
    // The command line has one thread; a registry has work for several.
    let served = tokio::task::spawn_blocking(move || {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(threads).build()?;
        runtime.block_on(run(config))
    });
    served.await.map_err(|error| Failure::new(error.to_string()))?
}

async fn run(config: Config) -> Outcome {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = server::Server::open(&config).await.map_err(|error| Failure::from(error).by_client())?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    for address in server.addresses() {
        output::out(&format!("serving {scheme}://{address}\n"))?;
    }
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("the registry ends; requests under way are finished");
    };
    server.run(shutdown).await;
    Ok(0)
}

impl ServeFlags {
    fn resolve(self) -> Outcome<Config> {
        let tls = match (self.tls_cert, self.tls_key, self.tls_client_ca) {
            (None, None, None) => None,
            (Some(certificate), Some(key), client_authorities) => Some(Tls { certificate, key, client_authorities }),
            (None, None, Some(_)) => {
                return Err(Failure::new("clients cannot show certificates without encryption")
                    .with_hint("give --tls-cert and --tls-key as well"));
            }
            _ => {
                return Err(Failure::new("a certificate needs its key").with_hint("give both --tls-cert and --tls-key"));
            }
        };
        if self.rules.is_some() && self.htpasswd.is_none() {
            return Err(Failure::new("rules without users allow nothing").with_hint("give --htpasswd as well"));
        }
        let foreign = match (self.token_realm, self.token_issuer, self.token_service, self.token_keys) {
            (None, None, None, None) => None,
            (Some(realm), Some(issuer), Some(service), Some(keys)) => {
                Some(ForeignTokens { realm, issuer, service, keys })
            }
            _ => {
                return Err(Failure::new("tokens of another service need all of its particulars")
                    .with_hint("give --token-realm, --token-issuer, --token-service and --token-keys"));
            }
        };
        let store = store(&self.root, self.s3_endpoint, self.s3_region);
        let (origins, insecure) = origins(&self.cache, self.cache_user.as_deref())?;
        let listen: Vec<SocketAddr> = self.listen.iter().map(|text| address(text)).collect::<Outcome<_>>()?;
        Ok(Config {
            store,
            listen,
            tls,
            htpasswd: self.htpasswd,
            rules: self.rules,
            anonymous_pull: self.anonymous_pull,
            scheme: match self.auth {
                Scheme::Token => server::Scheme::Token,
                Scheme::Basic => server::Scheme::Basic,
            },
            foreign,
            public_url: self.public_url,
            keeping: Keeping {
                grace: time(&self.grace)?,
                uploads: time(&self.upload_expiry)?,
                untagged: self.untagged_expiry.as_deref().map(time).transpose()?,
                cached: Some(time(&self.cache_expiry)?),
                cycle: time(&self.gc_cycle)?,
            },
            origins,
            upstream: Settings {
                insecure,
                proxies: Proxies {
                    http: env::proxy("http_proxy"),
                    https: env::proxy("https_proxy"),
                    except: env::proxy("no_proxy"),
                },
                // Clients wait meanwhile, and what is here is better than nothing.
                attempts: 2,
                ..Settings::default()
            },
            fresh: time(&self.cache_fresh)?,
            spool: "/var/tmp".into(),
            access_log: match self.access_log.as_str() {
                "-" => AccessLogTo::Stderr,
                "none" => AccessLogTo::Nowhere,
                path => AccessLogTo::File(path.into()),
            },
        })
    }
}

/// A folder, or `s3://BUCKET/PREFIX` with the usual variables for its keys.
fn store(root: &str, endpoint: Option<String>, region: String) -> StoreAt {
    let Some(place) = root.strip_prefix("s3://") else { return StoreAt::Folder(root.into()) };
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    StoreAt::Bucket(Bucket {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        endpoint,
        region,
        credentials: env::text(env::AWS_ACCESS_KEY_ID).zip(env::text(env::AWS_SECRET_ACCESS_KEY)),
        session_token: env::text(env::AWS_SESSION_TOKEN),
    })
}

/// Registries to cache, and those of them that are reached without encryption.
fn origins(texts: &[String], user: Option<&str>) -> Outcome<(Vec<Origin>, Vec<String>)> {
    let password = user.and_then(|_| env::text(env::WHARF_CACHE_PASSWORD)).unwrap_or_default();
    let mut origins = Vec::new();
    let mut insecure = Vec::new();
    for text in texts {
        let (prefix, registry) = text.split_once('=').unwrap_or(("", text));
        let domain = registry.strip_prefix("http://").inspect(|domain| insecure.push((*domain).to_owned()));
        let domain = domain.or_else(|| registry.strip_prefix("https://")).unwrap_or(registry).trim_end_matches('/');
        if domain.is_empty() || domain.contains('/') {
            return Err(Failure::new(format!("{text:?} is no registry to cache")).with_hint(
                "write docker.io, or hub=docker.io to have it below hub/; http://HOST for one without TLS",
            ));
        }
        // The names by which people know Docker Hub all mean the same.
        let domain = if domain == "registry-1.docker.io" { "docker.io" } else { domain };
        origins.push(Origin {
            prefix: prefix.to_owned(),
            domain: domain.to_owned(),
            username: user.unwrap_or_default().to_owned(),
            password: password.clone(),
        });
    }
    Ok((origins, insecure))
}

/// `ADDR:PORT`, `:PORT` or a name of this host with a port.
fn address(text: &str) -> Outcome<SocketAddr> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let found = full.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| {
        Failure::new(format!("a registry cannot listen on {text:?}")).with_hint("addresses look like 127.0.0.1:5000")
    })
}

/// `90s`, `15m`, `24h`, `30d`.
fn time(text: &str) -> Outcome<Duration> {
    let wrong = || Failure::new(format!("{text:?} is no time")).with_hint("times look like 90s, 15m, 24h or 30d");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit].parse().map_err(|_| wrong())?;
    let milliseconds = match &text[unit..] {
        "ms" => number,
        "s" => number.saturating_mul(1000),
        "m" => number.saturating_mul(60_000),
        "h" => number.saturating_mul(3_600_000),
        "d" => number.saturating_mul(86_400_000),
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_addresses() {
        assert_eq!(time("24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(time("50ms").unwrap(), Duration::from_millis(50));
        for wrong in ["", "5", "h", "5x", "-1s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(address(":5000").unwrap().to_string(), "0.0.0.0:5000");
        assert!(address("nowhere").is_err());
    }
}
