//! Sockets on which an engine listens.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::net::AddressFamily;
use tokio::net::{TcpListener, UnixListener};
use wharf_types::{Error, Result, ResultExt};

use crate::stream::Stream;
use crate::tls::Tls;

/// Where an engine is asked to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://address:port`; without encryption only on addresses of this host that no other host can reach.
    Tcp(IpAddr, Option<u16>),
}

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Encryption of TCP, and whose certificates are let in.
    pub tls: Option<Tls>,
    /// Group whose members may use unix sockets, by name or number; `wharf` or `docker` where absent.
    pub group: Option<String>,
    /// Listen without encryption on addresses that other hosts reach, too: whoever reaches them is root here.
    pub open_to_everybody: bool,
}

/// A socket on which an engine listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    host: String,
}

#[derive(Debug)]
enum Socket {
    /// The file goes when the socket does.
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
    Tcp(TcpListener, Option<Tls>),
}

/// Groups whose members may use the engine, the first that is there.
const GROUPS: [&str; 2] = ["wharf", "docker"];
/// Read and write for owner and group.
const MODE: u32 = 0o660;
/// How often, and how long apart, to look whether another engine goes on listening: a quarter of a second in all.
const KNOCKS: u32 = 25;
/// See [`KNOCKS`].
const KNOCK: Duration = Duration::from_millis(10);

impl Listener {
    /// Listens. A socket file that a dead engine left is replaced; must be called within a runtime.
    ///
    /// Fails with `Conflict` where another engine answers, and `Forbidden` for TCP addresses that others can reach.
    pub fn bind(host: &Host) -> Result<Self> {
        Self::bind_for(host, &Access::default())
    }

    /// As [`Listener::bind`], for those who may come in.
    pub fn bind_for(host: &Host, access: &Access) -> Result<Self> {
        let socket = match host {
            Host::Unix(path) => bind_unix(path, access.group.as_deref())?,
            Host::Tcp(address, port) => {
                let port = port.unwrap_or(if access.tls.is_some() { TLS_PORT } else { PLAIN_PORT });
                bind_tcp(SocketAddr::new(*address, port), access)?
            }
        };
        Ok(Self { socket, host: host.to_string() })
    }

    /// Takes over a socket that listens already, from a service manager for instance; the file of it is not ours.
    pub fn from_fd(fd: OwnedFd, access: &Access) -> Result<Self> {
        let family = rustix::net::getsockname(&fd).map_err(io::Error::from).context("the descriptor is no socket")?;
        let socket = match family.address_family() {
            AddressFamily::UNIX => {
                let listener = StdUnixListener::from(fd);
                listener.set_nonblocking(true)?;
                Socket::Unix { listener: UnixListener::from_std(listener)?, _file: None }
            }
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = std::net::TcpListener::from(fd);
                refuse_reachable(listener.local_addr()?, access)?;
                listener.set_nonblocking(true)?;
                Socket::Tcp(TcpListener::from_std(listener)?, access.tls.clone())
            }
            _ => return Err(Error::invalid("the descriptor is neither a unix nor a TCP socket")),
        };
        Ok(Self { socket, host: "fd://".to_owned() })
    }

    /// The address of a TCP socket, with the port that was chosen for port 0.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener, _) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Guest> {
        match &self.socket {
            Socket::Unix { listener, .. } => Ok(Guest { stream: Stream::Unix(listener.accept().await?.0), tls: None }),
            Socket::Tcp(listener, tls) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Ok(Guest { stream: Stream::Tcp(stream), tls: tls.clone() })
            }
        }
    }
}

/// Who has knocked and may have to show a certificate first; that takes time and is not the listener's business.
pub(crate) struct Guest {
    stream: Stream,
    tls: Option<Tls>,
}

impl Guest {
    /// The connection, encrypted where it must be.
    pub(crate) async fn admit(self) -> io::Result<Stream> {
        match (self.stream, self.tls) {
            (Stream::Tcp(stream), Some(tls)) => Ok(Stream::Tls(Box::new(tls.accept(stream).await?))),
            (stream, _) => Ok(stream),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

fn bind_unix(path: &Path, group: Option<&str>) -> Result<Socket> {
    let failed = || format!("cannot listen on unix://{}", path.display());
    let listener = match bind_path(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind_path(path)
        }
        other => other,
    };
    let listener = listener.with_context(failed)?;
    let file = SocketFile::of(path).with_context(failed)?;
    permit_group(path, group)?;
    listener.set_nonblocking(true).with_context(failed)?;
    let listener = UnixListener::from_std(listener).with_context(failed)?;
    Ok(Socket::Unix { listener, _file: Some(file) })
}

fn bind_path(path: &Path) -> io::Result<StdUnixListener> {
    by_folder(path, StdUnixListener::bind)
}

/// Names the socket by way of its folder's descriptor, for a socket's path has room for 107 bytes only.
fn by_folder<T>(path: &Path, action: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")),
    };
    let folder = fs::File::open(folder)?;
    action(Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

/// Whether someone listens on a socket. An engine that was killed a moment ago still does until the kernel has taken
/// it down: that it does so is worth a short wait.
fn is_listened_on(path: &Path) -> bool {
    for _ in 0..KNOCKS {
        let answer = by_folder(path, StdUnixStream::connect);
        if answer.is_err_and(|error| matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound))
        {
            return false;
        }
        std::thread::sleep(KNOCK);
    }
    true
}

/// Removes the file of a socket that nobody listens on any more.
fn remove_stale(path: &Path) -> Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Err(Error::conflict(format!(
            "cannot listen on unix://{}: the path is taken by something else",
            path.display()
        ))
        .with_hint("choose another path with --host"));
    }
    if is_listened_on(path) {
        return Err(Error::conflict(format!("socket in use: another engine listens on unix://{}", path.display()))
            .with_hint("use that engine, stop it, or choose another socket with --host"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old socket {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn permit_group(path: &Path, named: Option<&str>) -> Result<()> {
    let group = match named {
        Some(name) => Some(name.parse().ok().or_else(|| group_id(name)).ok_or_else(|| {
            Error::not_found(format!("there is no group {name:?} to own the socket"))
                .with_hint("make it with 'groupadd', or name another one with --group")
        })?),
        None => GROUPS.iter().find_map(|name| group_id(name)),
    };
    let failed = || format!("cannot let the group use unix://{}", path.display());
    if let Some(group) = group {
        match chown(path, None, Some(group)) {
            // Not root: the socket stays with this user's own group.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other.with_context(failed)?,
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).with_context(failed)
}

/// A group's number from /etc/group, which a static binary must read itself.
fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn bind_tcp(address: SocketAddr, access: &Access) -> Result<Socket> {
    refuse_reachable(address, access)?;
    let failed = || format!("cannot listen on tcp://{address}");
    let listener = std::net::TcpListener::bind(address).with_context(failed)?;
    listener.set_nonblocking(true).with_context(failed)?;
    Ok(Socket::Tcp(TcpListener::from_std(listener).with_context(failed)?, access.tls.clone()))
}

fn refuse_reachable(address: SocketAddr, access: &Access) -> Result<()> {
    let proves_itself = access.tls.as_ref().is_some_and(Tls::checks_clients);
    if address.ip().is_loopback() || proves_itself {
        return Ok(());
    }
    if access.open_to_everybody {
        tracing::warn!(%address, "whoever reaches this address is root on this host");
        return Ok(());
    }
    let what = if access.tls.is_some() { "without asking clients for a certificate" } else { "without TLS" };
    Err(Error::forbidden(format!("refusing to listen on tcp://{address} {what}")).with_hint(
        "whoever reaches this port is root on this host: use --tlsverify ('system certificates' makes what it needs), \
         listen on 127.0.0.1, or let clients come by ssh://",
    ))
}

/// The file of a socket; removed when the engine ends, unless another engine has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

impl FromStr for Host {
    type Err = Error;

    /// Reads `unix:///path` or `tcp://address[:port]`.
    fn from_str(text: &str) -> Result<Self> {
        let unusable = || {
            Error::invalid(format!("an engine cannot listen on {text:?}"))
                .with_hint("addresses look like unix:///run/wharf.sock or tcp://127.0.0.1:2375")
        };
        match text.split_once("://").ok_or_else(unusable)? {
            ("unix", path) if path.starts_with('/') => Ok(Host::Unix(path.into())),
            ("tcp", address) => parse_address(address.trim_end_matches('/')).ok_or_else(unusable),
            _ => Err(unusable()),
        }
    }
}

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

fn parse_address(text: &str) -> Option<Host> {
    let text = text.replacen("localhost", "127.0.0.1", 1);
    if let Some(port) = text.strip_prefix(':') {
        return Some(Host::Tcp(IpAddr::from([127, 0, 0, 1]), Some(port.parse().ok()?)));
    }
    let both = || text.parse::<SocketAddr>().ok().map(|address| Host::Tcp(address.ip(), Some(address.port())));
    let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| Host::Tcp(address, None));
    both().or_else(bare)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(address, Some(port)) => write!(f, "tcp://{}", SocketAddr::new(*address, *port)),
            Host::Tcp(IpAddr::V6(address), None) => write!(f, "tcp://[{address}]"),
            Host::Tcp(address, None) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_types::Kind;

    #[test]
    fn hosts_are_read_and_shown() {
        for (text, shown) in [
            ("unix:///run/wharf.sock", "unix:///run/wharf.sock"),
            ("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234"),
            ("tcp://localhost:99", "tcp://127.0.0.1:99"),
            ("tcp://[::1]", "tcp://[::1]"),
            ("tcp://:99", "tcp://127.0.0.1:99"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "/run/x", "unix://x", "tcp://example.com:1", "fd://"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_dead_engines_socket_is_replaced_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::Unix(dir.path().join("s"));
        drop(StdUnixListener::bind(dir.path().join("s")).unwrap());
        let first = Listener::bind(&host).unwrap();
        assert_eq!(fs::metadata(dir.path().join("s")).unwrap().permissions().mode() & 0o777, MODE);
        let error = Listener::bind(&host).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().starts_with("socket in use"), "{error}");
        drop(first);
        assert!(!dir.path().join("s").exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert_eq!(Listener::bind(&Host::Unix(path.clone())).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(fs::read_to_string(path).unwrap(), "data");
    }

    #[tokio::test]
    async fn long_paths_are_no_matter() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x".repeat(120));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        // One that a dead engine left is told from one in use, too.
        drop(bind_path(&path).unwrap());
        assert!(Listener::bind(&Host::Unix(path)).is_ok());
    }

    #[tokio::test]
    async fn plain_tcp_is_for_this_host_only() {
        let error = Listener::bind(&"tcp://0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden);
        assert!(Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).unwrap().tcp_address().is_some());
    }
}
