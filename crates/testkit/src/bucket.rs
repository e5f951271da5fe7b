//! An S3-compatible store of others, from PyPI (`moto`), in memory and on a free port.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::served::{Reply, request};
use crate::{TempRegistry, foreign, wait};

/// Where `cargo xtask test` says the store's program is.
pub const PROGRAM: &str = "WHARF_TEST_MOTO";

/// The store with one bucket; it ends with the value, and what it held is gone.
pub struct TempBucket {
    process: Child,
    address: String,
}

impl TempBucket {
    /// Starts one; `None`, loudly, where its program is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Option<Self> {
        let named = std::env::var_os(PROGRAM).map(PathBuf::from);
        let program = named.or_else(|| foreign::find("moto_server")).or_else(|| foreign::need("moto_server"))?;
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("the store can be executed");
        let store = Self { process, address: format!("127.0.0.1:{port}") };
        wait::until("the store listens", || TcpStream::connect(&store.address).ok());
        assert_eq!(store.send("PUT", "/bucket").status, 200, "a bucket can be made");
        Some(store)
    }

    /// Its address as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A registry that keeps everything here, below `prefix/`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn serve(&self, arguments: &[&str]) -> TempRegistry {
        let endpoint = self.endpoint();
        let own = ["--root", "s3://bucket/prefix", "--s3-endpoint", &endpoint];
        let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().expect("a folder can be made");
        TempRegistry::start_with_variables(folder, &[&own, arguments].concat(), &keys)
    }

    /// The bytes of an object, past all registries.
    ///
    /// # Panics
    /// If the store does not answer.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        let reply = self.send("GET", &format!("/bucket/prefix/{key}"));
        (reply.status == 200).then_some(reply.body)
    }

    /// A blob's bytes, past all registries.
    ///
    /// # Panics
    /// As [`TempBucket::object`].
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        self.object(&format!("blobs/sha256/{}/{hex}", &hex[..2]))
    }

    fn send(&self, method: &str, path: &str) -> Reply {
        request(&self.address, method, path, &[], b"").expect("the store answers")
    }
}

impl Drop for TempBucket {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}
