//! Fetches the chosen packages, several at a time, and takes them apart, several at a time.

use crate::deb::Deb;
use crate::fetch::{Expected, Fetcher};
use crate::plan::Chosen;
use crate::progress::{Event, Phase, Progress};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use tokio_util::sync::CancellationToken;
use wharf_types::{Digest, Error, Result, ResultExt};

const CONNECTIONS: usize = 4;

/// Fetches all packages into the cache; what is there already is only verified.
pub fn fetch_all(fetcher: &Fetcher, packages: &[&Chosen], progress: &dyn Progress) -> Result<()> {
    let total = packages.iter().map(|package| package.size).sum();
    progress.report(Event::Begin(Phase::Download));
    let (done, next, failed) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let advance = |bytes| {
        let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        progress.report(Event::Advance { phase: Phase::Download, done: done.min(total), total });
    };
    let work = || -> Result<()> {
        while let Some(package) =
            packages.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            let expected = Expected { size: package.size, sha256: package.sha256 };
            fetcher
                .download(&package.url, &package.path, expected, &advance)
                .with_context(|| format!("cannot get the package {}", package.name))
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::system("a download ended unexpectedly")))
        })
    })
}

/// Hands every package, taken apart, to `merge` in the given order, while others take the next ones apart.
pub fn unpack_all(
    packages: &[Chosen],
    cancel: &CancellationToken,
    mut merge: impl FnMut(&Chosen, Deb) -> Result<()>,
) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(workers);
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    // A receiver that is gone has failed and says so itself.
                    let Some(package) = packages.get(at).filter(|_| !cancel.is_cancelled()) else { return };
                    if sender.send((at, open(package))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        for (at, package) in packages.iter().enumerate() {
            while !waiting.contains_key(&at) {
                let (found, deb) = receiver.recv().map_err(|_| crate::cancelled())?;
                waiting.insert(found, deb);
            }
            if let Some(deb) = waiting.remove(&at) {
                merge(package, deb?)?;
            }
        }
        Ok(())
    })
}

/// Reads a package from the cache, once more comparing the digest: what is merged is what was verified.
pub fn open(package: &Chosen) -> Result<Deb> {
    Deb::parse(&read(package)?, &package.name)
}

/// The bytes of a package file.
pub fn read(package: &Chosen) -> Result<Vec<u8>> {
    let content = std::fs::read(&package.path).with_context(|| format!("cannot read {}", package.path.display()))?;
    if Digest::of(&content) != package.sha256 {
        return Err(Error::corrupt(format!("the package {} was changed while it lay in the cache", package.name))
            .with_hint("try again"));
    }
    Ok(content)
}
