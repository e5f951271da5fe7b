//! A registry that misbehaves to order: it cuts, lies, delays and refuses, and remembers what it was asked.
//!
//! It keeps everything in memory and serves the reading side of the distribution specification, uploads, and tokens.

mod answer;
mod message;
mod uploads;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use message::Request;

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The connection ends after so many bytes of a blob.
    pub cut_after: Option<u64>,
    /// The next requests for blobs are answered with these statuses.
    pub refuse: VecDeque<u16>,
    /// `Retry-After` of refusals, in seconds.
    pub retry_after: Option<u32>,
    /// So many blobs have a wrong byte in the middle.
    pub spoil: u32,
    /// `Content-Length` of blobs is wrong by so many bytes.
    pub misstate: i64,
    /// So many ranges are answered with others than were asked for.
    pub lie: u32,
    /// Ranges are not known.
    pub no_ranges: bool,
    /// A pause after every 64 KiB.
    pub slow: Option<Duration>,
    /// Blobs are to be had at this address instead.
    pub redirect: Option<String>,
    /// An upload's connection ends after so many bytes, which are kept; the next one goes further.
    pub cut_upload: Option<u64>,
    /// Who may come in.
    pub auth: Auth,
}

/// How one comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody does.
    #[default]
    Open,
    /// With user and password.
    Basic(String, String),
    /// With a token that is good for so many requests; the token server wants user and password if there are any.
    Token(u32, Option<(String, String)>),
}

/// The registry. It ends with the value.
pub struct FaultyRegistry {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
}

/// Media type and bytes of what a repository has under a tag or digest.
type Named = (String, Arc<Vec<u8>>);

#[derive(Default)]
struct State {
    faults: Faults,
    blobs: HashMap<String, Arc<Vec<u8>>>,
    manifests: BTreeMap<(String, String), Named>,
    uploads: HashMap<String, Vec<u8>>,
    /// Uploads that ever began, so that no two are called the same.
    begun: u64,
    requests: Vec<Request>,
    sent: u64,
    tokens: HashMap<String, u32>,
    closing: bool,
}

impl FaultyRegistry {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Mutex::new(State::default()));
        let for_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&for_thread).closing {
                    break;
                }
                let shared = for_thread.clone();
                thread::spawn(move || answer::serve(&stream, address, &shared));
            }
        });
        Self { address, shared }
    }

    /// Host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on this goes wrong.
    pub fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Puts a blob there; gives its digest.
    pub fn blob(&self, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        self.state().blobs.insert(digest.clone(), Arc::new(bytes));
        digest
    }

    /// Puts an image of plain tar layers there; gives its manifest's digest.
    pub fn image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> String {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        self.packed_image(repository, tag, layers, &diff_ids, "application/vnd.oci.image.layer.v1.tar")
    }

    /// Puts an image of gzipped layers there, given as plain tar; gives the blobs' digests.
    pub fn gzip_image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> Vec<String> {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
        self.packed_image(repository, tag, &packed, &diff_ids, "application/vnd.oci.image.layer.v1.tar+gzip");
        packed.iter().map(|layer| digest(layer)).collect()
    }

    /// Takes a blob away.
    pub fn forget(&self, digest: &str) {
        self.state().blobs.remove(digest);
    }

    fn packed_image(
        &self,
        repository: &str,
        tag: &str,
        layers: &[Vec<u8>],
        diff_ids: &[String],
        media_type: &str,
    ) -> String {
        let describe =
            |bytes: &[u8], kind: &str| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["echo", "pulled"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let listed: Vec<_> = layers.iter().map(|layer| describe(layer, media_type)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": describe(&config, "application/vnd.oci.image.config.v1+json"), "layers": listed,
        });
        self.blob(config);
        layers.iter().for_each(|layer| drop(self.blob(layer.clone())));
        self.manifest(repository, tag, MANIFEST, manifest.to_string().into_bytes())
    }

    /// Puts a manifest there under a tag; gives its digest.
    pub fn manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let (digest, bytes) = (digest(&bytes), Arc::new(bytes));
        let mut state = self.state();
        for name in [tag.to_owned(), digest.clone()] {
            state.manifests.insert((repository.to_owned(), name), (media_type.to_owned(), bytes.clone()));
        }
        digest
    }

    /// A blob that is there.
    pub fn stored(&self, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).map(|bytes| bytes.to_vec())
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How many of the requests so far had this method and this in their path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method && request.path.contains(part)).count()
    }

    /// Bytes of blobs that were sent so far.
    pub fn sent(&self) -> u64 {
        self.state().sent
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

/// The media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Drop for FaultyRegistry {
    fn drop(&mut self) {
        self.state().closing = true;
        // Wakes the listener, which then ends; if that fails it has ended already.
        drop(TcpStream::connect(self.address));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    packed.unwrap_or_else(|error| panic!("writing to memory failed: {error}"))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `sha256:` and the digits.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string succeeds.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes that no compression makes smaller, different for each seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
