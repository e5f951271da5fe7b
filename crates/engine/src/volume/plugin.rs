//! Volume drivers of others, over Docker's plugin protocol: JSON by HTTP on a unix socket, or TCP on this host.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_types::{Error, Result, ResultExt};

/// Where plugins put their sockets, and where files say where they are; Docker's places.
const SOCKETS: &str = "/run/docker/plugins";
const SPECS: [&str; 2] = ["/etc/docker/plugins", "/usr/lib/docker/plugins"];
/// How long a plugin may take: it may be making a disk somewhere.
const PATIENCE: Duration = Duration::from_secs(120);
/// An answer that is longer is not one.
const LONGEST_ANSWER: u64 = 16 << 20;

/// A volume driver that is a plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    name: String,
    address: Address,
}

#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// A volume as its plugin knows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Where it is mounted, if it is.
    pub mountpoint: String,
    /// Whatever the plugin has to say.
    pub status: Option<serde_json::Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    err: String,
    mountpoint: String,
    volume: Option<Known>,
    implements: Vec<String>,
    capabilities: Option<Capabilities>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Capabilities {
    scope: String,
}

impl Plugin {
    /// Finds the plugin of this name; `own` is the engine's own folder of sockets, looked at first.
    ///
    /// # Errors
    /// `NotFound`, in Docker's words; `InvalidParameter` for a plugin that is no volume driver.
    pub fn find(name: &str, own: &Path) -> Result<Self> {
        let missing =
            || Error::not_found(format!("error looking up volume plugin {name}: plugin \"{name}\" not found"));
        if !wharf_types::validate_name(name) {
            return Err(missing());
        }
        let address = address_of(name, own).ok_or_else(missing)?;
        let plugin = Self { name: name.to_owned(), address };
        let answer = plugin.ask("/Plugin.Activate", &Value::Null)?;
        if !answer.implements.iter().any(|kind| kind == "VolumeDriver") {
            return Err(Error::invalid(format!("plugin {name} is no volume driver")));
        }
        Ok(plugin)
    }

    /// Makes a volume.
    pub fn create(&self, volume: &str, options: &std::collections::BTreeMap<String, String>) -> Result<()> {
        self.ask("/VolumeDriver.Create", &json!({"Name": volume, "Opts": options})).map(drop)
    }

    /// Removes a volume.
    pub fn remove(&self, volume: &str) -> Result<()> {
        self.ask("/VolumeDriver.Remove", &json!({"Name": volume})).map(drop)
    }

    /// Mounts a volume for a user of it; where it is then.
    pub fn mount(&self, volume: &str, user: &str) -> Result<PathBuf> {
        let answer = self.ask("/VolumeDriver.Mount", &json!({"Name": volume, "ID": user}))?;
        if answer.mountpoint.starts_with('/') {
            return Ok(answer.mountpoint.into());
        }
        Err(Error::system(format!("volume plugin {} does not say where {volume} is mounted", self.name)))
    }

    /// Takes a user's mount back.
    pub fn unmount(&self, volume: &str, user: &str) -> Result<()> {
        self.ask("/VolumeDriver.Unmount", &json!({"Name": volume, "ID": user})).map(drop)
    }

    /// What it knows of a volume.
    ///
    /// # Errors
    /// `NotFound` when it knows none of this name.
    pub fn get(&self, volume: &str) -> Result<Known> {
        let answer = self.ask("/VolumeDriver.Get", &json!({"Name": volume}));
        let unknown = |error: Error| Error::not_found(format!("get {volume}: no such volume")).caused_by(error);
        answer.map_err(unknown)?.volume.ok_or_else(|| Error::not_found(format!("get {volume}: no such volume")))
    }

    /// `local` or `global`: whether the volume is the same on other hosts. Old plugins do not say.
    pub fn scope(&self) -> String {
        let answer = self.ask("/VolumeDriver.Capabilities", &json!({})).ok();
        let scope = answer.and_then(|answer| answer.capabilities).map(|capabilities| capabilities.scope);
        scope.filter(|scope| scope == "global").unwrap_or_else(|| "local".to_owned())
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Answer> {
        let failed = || format!("volume plugin {} does not answer {path}", self.name);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = match &self.address {
            Address::Unix(path_of_socket) => {
                let stream = UnixStream::connect(path_of_socket).with_context(failed)?;
                stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
                exchange(stream, path, &text)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).with_context(failed)?;
                stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
                exchange(stream, path, &text)
            }
        }
        .with_context(failed)?;
        let parsed: Result<Answer, _> = serde_json::from_slice(&answer);
        match parsed {
            Ok(parsed) if parsed.err.is_empty() && status == 200 => Ok(parsed),
            Ok(parsed) if !parsed.err.is_empty() => {
                Err(Error::system(format!("{}: {}", path.trim_start_matches('/'), parsed.err)))
            }
            _ => Err(Error::system(format!(
                "{}: the plugin answered {status}: {}",
                path.trim_start_matches('/'),
                String::from_utf8_lossy(&answer).trim_end()
            ))),
        }
    }
}

/// One request to the plugin of this name, whatever kind it is: status and body of its answer.
pub fn plugin_exchange(name: &str, own: &Path, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
    let missing = || Error::not_found(format!("plugin \"{name}\" not found"));
    let address = Some(name).filter(|name| wharf_types::validate_name(name)).and_then(|name| address_of(name, own));
    let failed = || format!("plugin {name} does not answer {path}");
    match address.ok_or_else(missing)? {
        Address::Unix(socket) => {
            let stream = UnixStream::connect(socket).with_context(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
            exchange(stream, path, body).with_context(failed)
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).with_context(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
            exchange(stream, path, body).with_context(failed)
        }
    }
}

fn address_of(name: &str, own: &Path) -> Option<Address> {
    for folder in [own, Path::new(SOCKETS)] {
        for socket in [folder.join(format!("{name}.sock")), folder.join(name).join(format!("{name}.sock"))] {
            if socket.exists() {
                return Some(Address::Unix(socket));
            }
        }
    }
    for folder in SPECS {
        let Ok(text) = std::fs::read_to_string(Path::new(folder).join(format!("{name}.spec"))) else { continue };
        return match text.trim().split_once("://")? {
            ("unix", path) => Some(Address::Unix(path.into())),
            ("tcp", address) => Some(Address::Tcp(address.to_owned())),
            _ => None,
        };
    }
    None
}

/// One request and its answer: status and body.
fn exchange(mut stream: impl Read + Write, path: &str, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: plugin\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\
         Content-Type: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    read_answer(&answer).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

fn read_answer(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    let chunked = head.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
        })
    });
    Some((status, if chunked { unchunked(body)? } else { body.to_vec() }))
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read_answer(whole).unwrap(), (200, b"{}".to_vec()));
        let chunks = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(read_answer(chunks).unwrap(), (500, b"{\"a\":1}".to_vec()));
        for bad in [&b"nonsense"[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx"] {
            assert!(read_answer(bad).is_none());
        }
    }

    #[test]
    fn nobody_reaches_other_sockets_by_a_clever_name() {
        for name in ["../x", "a/b", ""] {
            assert!(Plugin::find(name, Path::new("/nowhere")).is_err(), "{name}");
        }
    }
}
