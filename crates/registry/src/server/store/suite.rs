//! What every store must do, as one test.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use wharf_types::{Digest, Error};

use super::{Content, Durability, Source, Store, Upload};
use crate::server::hash::RollingHash;

/// Runs all of it; `first` and `second` are two servers' views of one store (or one and the same).
pub async fn fulfils_the_contract(first: &dyn Store, second: &dyn Store) {
    documents(first, second).await;
    uploads_become_blobs(first, second).await;
    an_interrupted_upload_goes_on(first, second).await;
    announcements(first, second).await;
    first.check().await.unwrap();
}

async fn documents(first: &dyn Store, second: &dyn Store) {
    let key = "repos/a/b/_tags/v1.0";
    assert!(first.get(key).await.unwrap().is_none());
    assert!(first.age(key).await.unwrap().is_none());
    for (value, durability) in [("one", Durability::Synced), ("two", Durability::Written)] {
        first.put(key, Bytes::from(value), durability).await.unwrap();
        assert_eq!(second.get(key).await.unwrap().unwrap().bytes, value);
    }
    assert!(second.age(key).await.unwrap().unwrap() < Duration::from_secs(60));
    assert!(!first.create(key, Bytes::from("three")).await.unwrap());
    assert!(first.create("repos/a/b/_tags/new", Bytes::from("four")).await.unwrap());
    assert_eq!(second.get(key).await.unwrap().unwrap().bytes, "two");

    let marks = ["uses/ab/abcd.r1", "uses/ab/abcd.r2", "uses/ab/abce.r1"].map(str::to_owned);
    first.mark(&marks).await.unwrap();
    let names = |entries: Vec<super::Entry>| entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert_eq!(names(second.list("uses/ab/abcd.").await.unwrap()), ["abcd.r1", "abcd.r2"]);
    assert_eq!(names(second.list("uses/ab/").await.unwrap()).len(), 3);
    assert_eq!(names(second.list("uses/ac/").await.unwrap()).len(), 0);
    assert_eq!(names(second.list("repos/a/b/_tags/").await.unwrap()), ["new", "v1.0"]);
    assert_eq!(names(second.list("repos/a/").await.unwrap()).len(), 0, "what lies deeper is not listed");

    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = second.age(&marks[0]).await.unwrap().unwrap();
    first.mark(&marks[..1]).await.unwrap();
    assert!(second.age(&marks[0]).await.unwrap().unwrap() < before, "a mark becomes new again");
    first.delete(&marks).await.unwrap();
    first.delete(&marks).await.unwrap();
    assert_eq!(names(second.list("uses/ab/").await.unwrap()).len(), 0);
}

fn upload(id: char) -> Upload {
    Upload {
        id: id.to_string().repeat(32),
        repository: "a/b".to_owned(),
        hash: RollingHash::default(),
        pieces: Vec::new(),
    }
}

async fn bytes_of(store: &dyn Store, digest: &Digest, range: std::ops::Range<u64>) -> Vec<u8> {
    match store.read(digest, range).await.unwrap() {
        Content::File { file, range } => {
            use std::os::unix::fs::FileExt;
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
            file.read_exact_at(&mut bytes, range.start).unwrap();
            bytes
        }
        Content::Stream(stream) => stream.map(|bytes| bytes.unwrap().to_vec()).collect::<Vec<_>>().await.concat(),
    }
}

async fn uploads_become_blobs(first: &dyn Store, second: &dyn Store) {
    let digest = Digest::of(b"hello, world");
    assert!(first.stat(&digest).await.unwrap().is_none());
    let mut upload = upload('1');
    // Each piece may come to another server.
    first.append(&mut upload, &mut Source::of(Bytes::from("hello, "))).await.unwrap();
    second.append(&mut upload, &mut Source::of(Bytes::from("world"))).await.unwrap();
    assert_eq!((upload.offset(), upload.hash.digest()), (12, digest));
    first.commit(&upload).await.unwrap();
    assert_eq!(second.stat(&digest).await.unwrap(), Some(12));
    assert_eq!(bytes_of(second, &digest, 0..12).await, b"hello, world");
    assert_eq!(bytes_of(second, &digest, 7..9).await, b"wo");
    let listed = second.blobs(u8::from_str_radix(&digest.hex()[..2], 16).unwrap()).await.unwrap();
    assert!(listed.iter().any(|blob| blob.digest == digest && blob.size == 12));
    first.remove(&digest).await.unwrap();
    assert!(second.stat(&digest).await.unwrap().is_none());

    let empty = self::upload('2');
    first.commit(&empty).await.unwrap();
    assert_eq!(second.stat(&Digest::of(b"")).await.unwrap(), Some(0));

    let mut dropped = self::upload('3');
    first.append(&mut dropped, &mut Source::of(Bytes::from("x"))).await.unwrap();
    second.discard(&dropped).await.unwrap();
}

async fn an_interrupted_upload_goes_on(first: &dyn Store, second: &dyn Store) {
    let mut upload = upload('4');
    let cut = futures_util::stream::iter([Ok(Bytes::from("first ")), Err(Error::unavailable("cut"))]).boxed();
    let mut source = Source::new(cut);
    first.append(&mut upload, &mut source).await.unwrap();
    assert!(source.failure().is_some());
    assert_eq!(upload.offset(), 6, "what came is kept");
    // A server that was killed has written more than it has saved: its value is lost, the older one counts.
    first.append(&mut upload.clone(), &mut Source::of(Bytes::from("lost and longer"))).await.unwrap();
    let mut source = Source::of(Bytes::from("second"));
    source.allow(3);
    second.append(&mut upload, &mut source).await.unwrap();
    assert!(!source.is_finished());
    source.allow(u64::MAX);
    second.append(&mut upload, &mut source).await.unwrap();
    second.commit(&upload).await.unwrap();
    let digest = Digest::of(b"first second");
    assert_eq!(bytes_of(first, &digest, 0..12).await, b"first second");
    // The same content once more is no failure.
    let mut again = self::upload('5');
    first.append(&mut again, &mut Source::of(Bytes::from("first second"))).await.unwrap();
    first.commit(&again).await.unwrap();
    assert_eq!(bytes_of(second, &digest, 0..12).await, b"first second");
    first.remove(&digest).await.unwrap();
}

async fn announcements(first: &dyn Store, second: &dyn Store) {
    let digest = Digest::of(b"doomed");
    assert!(!second.is_doomed(&digest).await.unwrap());
    first.doom(&digest).await.unwrap();
    assert!(second.is_doomed(&digest).await.unwrap());
    first.spare(&digest).await.unwrap();
    assert!(!second.is_doomed(&digest).await.unwrap());
}
