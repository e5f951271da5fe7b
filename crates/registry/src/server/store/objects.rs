//! An S3-compatible store, which any number of servers may share.
//!
//! Blobs and documents are objects under the same keys as in the embedded store. What arrives becomes an object for each
//! request (`pieces/ID/…`); the upload's document names them in order, so whichever server gets the next request goes
//! on, and when all are there one copy within the store makes the blob.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error as ObjectError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, WriteMultipart,
};
use wharf_types::{Digest, Error, Kind, Result};

use super::{Blob, Content, Document, Durability, Entry, Piece, Source, Store, Upload};
use crate::server::config::Bucket;

/// Up to here an object is written at once, and beyond in parts of this size.
const PART: usize = 8 << 20;
/// How many parts of one upload are on their way at most; this bounds the memory of an upload.
const PARTS: usize = 3;
/// The most that one copy within the store can take is 5 GiB (Amazon S3, CopyObject).
const PORTION: u64 = 4 << 30;
/// How many small requests are made at once.
const AT_ONCE: usize = 16;
/// An announcement of a server that died counts no longer than this.
const ANNOUNCED: Duration = Duration::from_secs(300);

/// A bucket, or a part of one.
pub struct BucketStore {
    objects: Arc<dyn ObjectStore>,
    prefix: String,
}

impl BucketStore {
    /// Connects to nothing yet; [`Store::check`] does.
    pub fn open(bucket: &Bucket) -> Result<Self> {
        // The one and only provider in this program; whoever was first has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = bucket.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new().with_allow_http(plain).with_timeout_disabled();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(&bucket.region)
            .with_client_options(options.with_connect_timeout(Duration::from_secs(10)));
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let Some((key, secret)) = &bucket.credentials {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        if let Some(token) = &bucket.session_token {
            builder = builder.with_token(token);
        }
        let objects = builder.build().map_err(|error| {
            Error::invalid(format!("the bucket {} cannot be used", bucket.name))
                .with_hint(
                    "give --root s3://BUCKET, --s3-region, and the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                )
                .caused_by(error)
        })?;
        Ok(Self::over(Arc::new(objects), &bucket.prefix))
    }

    /// Over any object store that lists in order.
    pub fn over(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { objects, prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } }
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}{key}", self.prefix))
    }

    fn blob(&self, digest: &Digest) -> Path {
        let hex = digest.hex();
        self.path(&format!("blobs/sha256/{}/{hex}", &hex[..2]))
    }

    async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>> {
        found(self.objects.head(path).await)
    }

    /// The objects whose key is `prefix` and something without a slash, in order.
    async fn below(&self, prefix: &str) -> Result<Vec<(String, ObjectMeta)>> {
        let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let (folder, offset) = (self.path(folder), self.path(prefix));
        let skipped = folder.as_ref().len() + 1;
        let mut listing = if start.is_empty() {
            self.objects.list(Some(&folder))
        } else {
            self.objects.list_with_offset(Some(&folder), &offset)
        };
        let mut all = Vec::new();
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            let name = meta.location.as_ref().get(skipped..).unwrap_or_default().to_owned();
            if name.starts_with(start) {
                if !name.contains('/') {
                    all.push((name, meta));
                }
            } else if name.as_str() > start {
                break;
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// Writes what the source gives to an object; gives its length, and hashes on the way.
    async fn write(&self, path: &Path, upload: &mut Upload, source: &mut Source) -> Result<u64> {
        let mut hash = upload.hash.clone();
        let mut first = BytesMut::new();
        while first.len() < PART {
            let Some(bytes) = source.next().await else { break };
            hash.update(&bytes);
            first.extend_from_slice(&bytes);
        }
        if first.len() < PART {
            let length = first.len() as u64;
            if length > 0 {
                self.objects.put(path, first.freeze().into()).await.map_err(failed)?;
            }
            upload.hash = hash;
            return Ok(length);
        }
        let multipart = self.objects.put_multipart(path).await.map_err(failed)?;
        let mut writer = WriteMultipart::new_with_chunk_size(multipart, PART);
        writer.put(first.freeze());
        while let Some(bytes) = source.next().await {
            if let Err(error) = writer.wait_for_capacity(PARTS).await {
                // What was sent of it is of no use to anybody.
                let _ = writer.abort().await;
                return Err(failed(error));
            }
            hash.update(&bytes);
            writer.put(bytes);
        }
        writer.finish().await.map_err(failed)?;
        let length = hash.length() - upload.offset();
        upload.hash = hash;
        Ok(length)
    }

    /// Makes one object of several, through this server: only uploads in chunks come here.
    async fn join(&self, pieces: &[Piece], target: &Path) -> Result<()> {
        let multipart = self.objects.put_multipart(target).await.map_err(failed)?;
        let mut writer = WriteMultipart::new_with_chunk_size(multipart, PART);
        for piece in pieces {
            let mut stream = self.objects.get(&self.path(&piece.key)).await.map_err(failed)?.into_stream();
            while let Some(bytes) = stream.try_next().await.map_err(failed)? {
                writer.wait_for_capacity(PARTS).await.map_err(failed)?;
                writer.put(bytes);
            }
        }
        writer.finish().await.map(|_| ()).map_err(failed)
    }
}

#[async_trait::async_trait]
impl Store for BucketStore {
    async fn get(&self, key: &str) -> Result<Option<Document>> {
        let Some(result) = found(self.objects.get(&self.path(key)).await)? else { return Ok(None) };
        let age = age(&result.meta);
        Ok(found(result.bytes().await)?.map(|bytes| Document { bytes, age }))
    }

    async fn age(&self, key: &str) -> Result<Option<Duration>> {
        Ok(self.head(&self.path(key)).await?.as_ref().map(age))
    }

    async fn put(&self, key: &str, bytes: Bytes, _durability: Durability) -> Result<()> {
        self.objects.put(&self.path(key), bytes.into()).await.map(|_| ()).map_err(failed)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&self.path(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(ObjectError::AlreadyExists { .. } | ObjectError::Precondition { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn mark(&self, keys: &[String]) -> Result<()> {
        let puts = keys.iter().map(|key| {
            let path = self.path(key);
            async move { self.objects.put(&path, Bytes::new().into()).await.map(|_| ()).map_err(failed) }
        });
        futures_util::stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let deletes = keys.iter().map(|key| {
            let path = self.path(key);
            async move { found(self.objects.delete(&path).await).map(|_| ()) }
        });
        futures_util::stream::iter(deletes.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let all = self.below(prefix).await?;
        Ok(all.into_iter().map(|(name, meta)| Entry { name, age: age(&meta) }).collect())
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.head(&self.blob(digest)).await?.map(|meta| meta.size))
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Content> {
        if range.is_empty() {
            return Ok(Content::Stream(futures_util::stream::empty().boxed()));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let result = self.objects.get_opts(&self.blob(digest), options).await.map_err(failed)?;
        Ok(Content::Stream(result.into_stream().map_err(failed).boxed()))
    }

    async fn remove(&self, digest: &Digest) -> Result<()> {
        found(self.objects.delete(&self.blob(digest)).await).map(|_| ())
    }

    async fn blobs(&self, first: u8) -> Result<Vec<Blob>> {
        let all = self.below(&format!("blobs/sha256/{first:02x}/")).await?;
        let blob = |(name, meta): (String, ObjectMeta)| {
            Some(Blob { digest: Digest::from_hex(&name).ok()?, size: meta.size, age: age(&meta) })
        };
        Ok(all.into_iter().filter_map(blob).collect())
    }

    async fn append(&self, upload: &mut Upload, source: &mut Source) -> Result<()> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(std::io::Error::from)?;
        // Two requests at once, at two servers, write two objects; whichever saves the upload last counts, whole.
        let key = format!("pieces/{}/{:020}-{}", upload.id, upload.offset(), hex::encode(random));
        let length = self.write(&self.path(&key), upload, source).await?;
        if length > 0 {
            upload.pieces.push(Piece { key, length });
        }
        Ok(())
    }

    async fn commit(&self, upload: &Upload) -> Result<()> {
        let digest = upload.hash.digest();
        let target = self.blob(&digest);
        if self.stat(&digest).await? != Some(upload.offset()) {
            match &upload.pieces[..] {
                [] => self.objects.put(&target, Bytes::new().into()).await.map(|_| ()).map_err(failed)?,
                [piece] => self.objects.copy(&self.path(&piece.key), &target).await.map_err(failed)?,
                pieces => self.join(pieces, &target).await?,
            }
        }
        self.discard(upload).await
    }

    async fn discard(&self, upload: &Upload) -> Result<()> {
        let folder = format!("pieces/{}/", upload.id);
        let keys: Vec<String> =
            self.below(&folder).await?.into_iter().map(|(name, _)| format!("{folder}{name}")).collect();
        self.delete(&keys).await
    }

    fn portion(&self) -> u64 {
        PORTION
    }

    fn growing(&self, _upload: &Upload) -> Option<std::path::PathBuf> {
        None
    }

    async fn doom(&self, digest: &Digest) -> Result<()> {
        self.mark(&[doomed(digest)]).await
    }

    async fn is_doomed(&self, digest: &Digest) -> Result<bool> {
        Ok(self.age(&doomed(digest)).await?.is_some_and(|age| age < ANNOUNCED))
    }

    async fn spare(&self, digest: &Digest) -> Result<()> {
        self.delete(&[doomed(digest)]).await
    }

    async fn check(&self) -> Result<()> {
        self.put("health", Bytes::from_static(b"ok"), Durability::Written).await.map_err(|error| {
            Error::new(error.kind(), "the bucket cannot be written to")
                .with_hint("check the bucket's name, the endpoint, the region and the keys")
                .caused_by(error)
        })
    }
}

fn doomed(digest: &Digest) -> String {
    format!("doomed/{}", digest.hex())
}

fn found<T>(result: object_store::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ObjectError::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: ObjectError) -> Error {
    let kind = match &error {
        ObjectError::NotFound { .. } => Kind::NotFound,
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => Kind::System,
        _ => Kind::Unavailable,
    };
    Error::new(kind, "the object store failed").caused_by(error)
}

/// Clocks may be apart; nothing is younger than now.
fn age(meta: &ObjectMeta) -> Duration {
    let written = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fulfils_the_contract_with_two_servers_over_one_store() {
        let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let first = BucketStore::over(Arc::clone(&objects), "some/prefix/");
        let second = BucketStore::over(objects, "/some/prefix");
        crate::server::store::suite::fulfils_the_contract(&first, &second).await;
    }

    #[tokio::test]
    async fn large_uploads_go_in_parts() {
        let store = BucketStore::over(Arc::new(object_store::memory::InMemory::new()), "");
        let content: Vec<u8> = (0..PART * 2 + 12345).map(|i| (i % 253) as u8).collect();
        let mut upload = Upload {
            id: "a".repeat(32),
            repository: "a".to_owned(),
            hash: crate::server::hash::RollingHash::default(),
            pieces: Vec::new(),
        };
        let pieces: Vec<_> = content.chunks(1 << 20).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut source = Source::new(futures_util::stream::iter(pieces).boxed());
        store.append(&mut upload, &mut source).await.unwrap();
        store.append(&mut upload, &mut Source::of(Bytes::from("end"))).await.unwrap();
        store.commit(&upload).await.unwrap();
        let digest = Digest::of(&[&content[..], b"end"].concat());
        assert_eq!(store.stat(&digest).await.unwrap(), Some(content.len() as u64 + 3));
        assert!(store.below("pieces/").await.unwrap().is_empty());
    }
}
