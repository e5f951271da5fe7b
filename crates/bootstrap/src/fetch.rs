//! Downloads over HTTP: through proxies, with a few tries, going on where an earlier try stopped.

use crate::options::{Options, Proxies};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};
use wharf_types::{Digest, Error, Hasher, Kind, Result, ResultExt};

const TRIES: u32 = 3;
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// Fetches files; shared by all threads.
#[derive(Debug)]
pub struct Fetcher {
    http: Agent,
    https: Agent,
    cancel: CancellationToken,
}

/// What a download must turn out to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl Fetcher {
    /// Downloads end with an error soon after `cancel`.
    pub fn new(options: &Options, cancel: CancellationToken) -> Result<Self> {
        let roots = match &options.ca_bundle {
            Some(path) => read_certificates(path)?,
            None => RootCerts::WebPki,
        };
        let agent = |proxy: &Option<String>| -> Result<Agent> {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(CONNECT))
                .timeout_recv_response(Some(SILENCE))
                .timeout_per_read(Some(SILENCE))
                .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
                .proxy(proxy.as_deref().map(|proxy| parse_proxy(proxy, &options.proxies)).transpose()?)
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build());
            Ok(config.build().new_agent())
        };
        Ok(Self { http: agent(&options.proxies.http)?, https: agent(&options.proxies.https)?, cancel })
    }

    /// A small file whole; refuses to read more than `limit` bytes.
    pub fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>> {
        self.retry(url, || {
            let mut content = Vec::new();
            self.request(url, 0)?
                .reader
                .take(limit + 1)
                .read_to_end(&mut content)
                .map_err(|error| broken_off(url, error))?;
            if content.len() as u64 > limit {
                return Err(Error::corrupt(format!("{url} is larger than it should be")));
            }
            Ok(content)
        })
    }

    /// Makes `path` the expected file: at once if it is that already, else by download into `path.partial`, going on
    /// where that ends. `advance` hears of every piece.
    pub fn download(&self, url: &str, path: &Path, expected: Expected, advance: &dyn Fn(u64)) -> Result<()> {
        if is_complete(path, expected)? {
            advance(expected.size);
            return Ok(());
        }
        let partial = path.with_added_extension("partial");
        self.retry(url, || self.download_once(url, &partial, expected, advance))?;
        std::fs::rename(&partial, path).with_context(|| format!("cannot keep the download {}", path.display()))
    }

    fn download_once(&self, url: &str, partial: &Path, expected: Expected, advance: &dyn Fn(u64)) -> Result<()> {
        let cannot = || format!("cannot write the download {}", partial.display());
        let (mut hasher, mut have) = hash_prefix(partial, expected.size)?;
        let response = (have < expected.size).then(|| self.request(url, have)).transpose()?;
        let mut file = OpenOptions::new().create(true).append(true).open(partial).with_context(cannot)?;
        if response.as_ref().is_none_or(|response| response.offset != have) {
            file.set_len(0).with_context(cannot)?;
            (hasher, have) = (Hasher::new(), 0);
        }
        let mut reader = match response {
            Some(response) => response.reader,
            None => self.request(url, 0)?.reader,
        };
        advance(have);
        let mut buffer = vec![0; 64 << 10];
        while have <= expected.size {
            self.check_cancelled()?;
            let length = reader.read(&mut buffer).map_err(|error| broken_off(url, error))?;
            if length == 0 {
                break;
            }
            file.write_all(&buffer[..length]).with_context(cannot)?;
            hasher.update(&buffer[..length]);
            have += length as u64;
            advance(length as u64);
        }
        if have < expected.size {
            return Err(Error::unavailable(format!("{url} ended after {have} of {} bytes", expected.size)));
        }
        if have > expected.size || hasher.finish() != expected.sha256 {
            std::fs::remove_file(partial).with_context(cannot)?;
            return Err(Error::corrupt(format!("{url} is not what the package index promises"))
                .with_hint("the mirror may be in the middle of an update, or something changes files on their way"));
        }
        Ok(())
    }

    fn request(&self, url: &str, from: u64) -> Result<Response> {
        self.check_cancelled()?;
        let agent = if url.starts_with("https:") { &self.https } else { &self.http };
        let mut request = agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| unreachable(url, error))?;
        let status = response.status().as_u16();
        let offset = match status {
            200 => 0,
            206 if content_range(&response) == Some(from) => from,
            404 => return Err(Error::not_found(format!("{url} does not exist"))),
            // A range that the server cannot give: the next try begins from the start.
            416 if from > 0 => return self.request(url, 0),
            500.. => return Err(Error::unavailable(format!("{url} cannot be had: the server answers {status}"))),
            _ => return Err(Error::system(format!("{url} cannot be had: the server answers {status}"))),
        };
        Ok(Response { reader: Box::new(response.into_body().into_reader()), offset })
    }

    /// Tries again when the server or the way to it failed, but not when the answer was clear.
    fn retry<T>(&self, url: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 1;
        loop {
            match attempt() {
                Err(error) if error.kind() == Kind::Unavailable && tries < TRIES && !self.cancel.is_cancelled() => {
                    std::thread::sleep(Duration::from_millis(250 << tries));
                    tries += 1;
                }
                other => return other.with_context(|| format!("cannot fetch {}", short(url))),
            }
        }
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(crate::cancelled()) } else { Ok(()) }
    }
}

struct Response {
    reader: Box<dyn Read>,
    offset: u64,
}

/// Where the sent range begins: `bytes 100-199/200`.
fn content_range(response: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    response.headers().get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn is_complete(path: &Path, expected: Expected) -> Result<bool> {
    if path.metadata().is_ok_and(|metadata| metadata.len() == expected.size) {
        return Ok(hash_prefix(path, expected.size)?.0.finish() == expected.sha256);
    }
    Ok(false)
}

/// Hashes what is there of a file, so that a download can go on; a file that is too long counts as nothing.
fn hash_prefix(path: &Path, size: u64) -> Result<(Hasher, u64)> {
    let mut hasher = Hasher::new();
    let mut file = match File::open(path) {
        Ok(file) if file.metadata()?.len() <= size => file,
        _ => return Ok((hasher, 0)),
    };
    let mut buffer = vec![0; 256 << 10];
    let mut have = 0;
    loop {
        match file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok((hasher, have)),
            length => {
                hasher.update(&buffer[..length]);
                have += length as u64;
            }
        }
    }
}

fn parse_proxy(text: &str, proxies: &Proxies) -> Result<Proxy> {
    let wrong = |error| {
        Error::invalid("the proxy's address makes no sense")
            .with_hint("it should look like http://host:port")
            .caused_by(error)
    };
    let plain = Proxy::new(text).map_err(wrong)?;
    let Some(exceptions) = proxies.exceptions.as_deref() else { return Ok(plain) };
    let mut builder = Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let (Some(user), Some(password)) = (plain.username(), plain.password()) {
        builder = builder.username(user).password(password);
    }
    for exception in exceptions.split(',').map(str::trim).filter(|exception| !exception.is_empty()) {
        builder = builder.no_proxy(exception);
    }
    builder.build().map_err(wrong)
}

fn read_certificates(path: &Path) -> Result<RootCerts> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read the certificates {}", path.display()))?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::from(certificates.iter().map(ureq::tls::Certificate::to_owned)))
}

fn unreachable(url: &str, error: ureq::Error) -> Error {
    let hint = "check the network, the proxy (http_proxy, https_proxy) and the mirror's address (--mirror)";
    Error::unavailable(format!("{} does not answer", host(url))).with_hint(hint).caused_by(error)
}

fn broken_off(url: &str, error: std::io::Error) -> Error {
    Error::unavailable(format!("{} broke the download off", host(url))).caused_by(error)
}

fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or(url)
}

fn short(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
