//! A large image made of nothing but a seed: for measuring what moves images. Always the same bytes, so digests can be
//! compared between runs; it compresses about as well as a distribution's files do.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How the layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Plain tar, as `docker save` writes it.
    Plain,
    /// gzip, as registries mostly have it.
    Gzip,
    /// zstd.
    Zstd,
}

/// What is made.
#[derive(Debug, Clone, Copy)]
pub struct Bulk {
    /// Layers; each is smaller than the one before.
    pub layers: u32,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Another seed makes another image of the same size.
    pub seed: u64,
}

impl Bulk {
    /// Eight layers, 645 MB in about 13,000 files; 0.4 of that as gzip.
    pub const LARGE: Self = Self { layers: 8, bytes: 645_000_000, seed: 1 };

    /// Writes the image into `folder` as an OCI layout that is a docker-archive as well, under the name `name`.
    ///
    /// # Errors
    /// When the disk is full or the folder cannot be written.
    pub fn write_layout(self, folder: &Path, name: &str, packing: Packing) -> io::Result<Layout> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        let layers =
            (0..self.layers).map(|number| self.layer(folder, number, packing)).collect::<io::Result<Vec<_>>>()?;
        let config = json!({
            "architecture": architecture(), "os": "linux", "created": "2024-01-01T00:00:00Z",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>()},
            "history": layers.iter().map(|_| json!({"created": "2024-01-01T00:00:00Z"})).collect::<Vec<_>>(),
        });
        let config = document(folder, "application/vnd.oci.image.config.v1+json", &config)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
        });
        let mut manifest = document(folder, MANIFEST, &manifest)?;
        let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let path = |descriptor: &Value| blob_path(descriptor["digest"].as_str().unwrap_or_default());
        let docker = json!([{
            "Config": path(&config), "RepoTags": [name],
            "Layers": layers.iter().map(|layer| path(&layer.descriptor)).collect::<Vec<_>>(),
        }]);
        fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())?;
        fs::write(folder.join("manifest.json"), docker.to_string())?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Layout {
            folder: folder.to_owned(),
            manifest: digest,
            config: config["digest"].as_str().unwrap_or_default().to_owned(),
            layers: layers.into_iter().map(|layer| layer.descriptor).collect(),
        })
    }

    fn layer(self, folder: &Path, number: u32, packing: Packing) -> io::Result<Layer> {
        let part = folder.join(format!("layer-{number}"));
        let mut packed = Hashing::new(BufWriter::with_capacity(1 << 20, File::create(&part)?));
        let diff_id = match packing {
            Packing::Plain => self.tar(number, &mut packed)?,
            Packing::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::new(6));
                let diff_id = self.tar(number, &mut gzip)?;
                gzip.finish()?;
                diff_id
            }
            Packing::Zstd => {
                let mut zstd = zstd::Encoder::new(&mut packed, 3)?;
                let diff_id = self.tar(number, &mut zstd)?;
                zstd.finish()?;
                diff_id
            }
        };
        packed.inner.flush()?;
        let (digest, size) = (packed.digest(), packed.size);
        fs::rename(part, folder.join(blob_path(&digest)))?;
        let kind = match packing {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        Ok(Layer { diff_id, descriptor: json!({"mediaType": kind, "digest": digest, "size": size}) })
    }

    /// Writes the tar of a layer and gives its digest.
    fn tar(self, number: u32, out: &mut dyn Write) -> io::Result<String> {
        let mut random = Random(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number + 1) << 32);
        let words = random.words();
        let mut hashing = Hashing::new(out);
        let mut tar = tar::Builder::new(&mut hashing);
        // Each layer is four fifths of the one below it.
        let weight = |n: u32| 0.8f64.powi(n.cast_signed());
        let whole: f64 = (0..self.layers).map(weight).sum();
        let mut left = (self.bytes as f64 * weight(number) / whole) as u64;
        let mut content = Vec::new();
        let mut file = 0u32;
        while left > 0 {
            let size = random.size().min(left);
            random.fill(&words, &mut content, size as usize);
            let folder = format!("layer{number}/{:03}", file / 64);
            if file.is_multiple_of(64) {
                tar.append_data(&mut header(tar::EntryType::Directory, 0), format!("{folder}/"), io::empty())?;
            }
            if file.is_multiple_of(16) {
                let link = format!("{folder}/link{file}");
                tar.append_link(&mut header(tar::EntryType::Symlink, 0), link, format!("file{file}"))?;
            }
            tar.append_data(&mut header(tar::EntryType::Regular, size), format!("{folder}/file{file}"), &content[..])?;
            left -= size;
            file += 1;
        }
        tar.finish()?;
        drop(tar);
        Ok(hashing.digest())
    }
}

/// An image that was written.
#[derive(Debug)]
pub struct Layout {
    /// The folder of the layout.
    pub folder: PathBuf,
    /// The manifest's digest, with `sha256:`.
    pub manifest: String,
    /// The configuration's digest, with `sha256:`: the image's id.
    pub config: String,
    /// Descriptors of the layers, base first.
    pub layers: Vec<Value>,
}

impl Layout {
    /// Writes the layout as a tar that every engine can load.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn write_archive(&self, path: &Path) -> io::Result<()> {
        let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
        tar.append_dir_all(".", &self.folder)?;
        tar.into_inner()?.flush()
    }

    /// The bytes of all blobs of layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().filter_map(|layer| layer["size"].as_u64()).sum()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Layer {
    diff_id: String,
    descriptor: Value,
}

/// The digest of some bytes, with `sha256:`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn document(folder: &Path, kind: &str, document: &Value) -> io::Result<Value> {
    let bytes = document.to_string().into_bytes();
    let digest = digest(&bytes);
    fs::write(folder.join(blob_path(&digest)), &bytes)?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": bytes.len()}))
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The processor in Go's spelling.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }

    fn digest(&self) -> String {
        format!("sha256:{:x}", self.hasher.clone().finalize())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Xorshift64*: fast, and the same everywhere.
struct Random(u64);

/// The length of a word, with its space.
const WORD: usize = 8;

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Mostly small files, some large ones.
    fn size(&mut self) -> u64 {
        let number = self.next() >> 8;
        match self.next() >> 58 {
            0 => 256 * 1024 + number % (2 << 20),
            1..=20 => 16 * 1024 + number % (64 << 10),
            _ => 64 + number % (12 << 10),
        }
    }

    fn words(&mut self) -> Vec<[u8; WORD]> {
        let letter = |bits: u64| b"etaoinshrdlucmfwypvbgkq0123._/-="[(bits & 31) as usize];
        let mut word = || {
            let bits = self.next();
            let mut word: [u8; WORD] = std::array::from_fn(|i| letter(bits >> (5 * i)));
            word[WORD - 1] = b' ';
            word
        };
        (0..2048).map(|_| word()).collect()
    }

    /// Words, and now and then bytes that nothing compresses.
    fn fill(&mut self, words: &[[u8; WORD]], content: &mut Vec<u8>, size: usize) {
        content.clear();
        while content.len() < size {
            let bits = self.next();
            if bits.is_multiple_of(8) {
                content.extend_from_slice(&bits.to_le_bytes());
            }
            for turn in 0..4 {
                content.extend_from_slice(&words[(bits >> (11 * turn)) as usize % words.len()]);
            }
        }
        content.truncate(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_image() {
        let small = Bulk { layers: 3, bytes: 2_000_000, seed: 7 };
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, packing| small.write_layout(&folder.path().join(name), "a:b", packing).unwrap();
        let (one, two, zstd) = (write("1", Packing::Gzip), write("2", Packing::Gzip), write("3", Packing::Zstd));
        assert_eq!((&one.manifest, &one.config), (&two.manifest, &two.config));
        assert_eq!(one.config, zstd.config);
        let ratio = two.size() as f64 / small.bytes as f64;
        assert!((0.3..0.5).contains(&ratio), "it compresses to {ratio}");
        two.write_archive(&folder.path().join("archive.tar")).unwrap();
    }
}
