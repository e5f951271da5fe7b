//! Measures how fast a tar stream becomes a layer: `cargo run --release -p wharf-storage --example unpack -- FOLDER TAR…`.
//!
//! Unpacks each archive into a store in FOLDER, publishes it, exports it, removes it, and says how long each took.

#![allow(clippy::print_stdout)] // its output is its purpose

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use wharf_storage::tar::{Limits, export};
use wharf_storage::{LayerStore, decompress};
use wharf_types::{Digest, Hasher, Result, ResultExt};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "/tmp/wharf-unpack".to_owned());
    let store = LayerStore::open(Path::new(&folder))?;
    for archive in arguments {
        measure(&store, &archive)?;
    }
    Ok(())
}

fn measure(store: &LayerStore, archive: &str) -> Result<()> {
    let open = || File::open(archive).with_context(|| format!("cannot open {archive}"));
    let start = Instant::now();
    let (compression, mut plain) = decompress(open()?)?;
    let bytes = std::io::copy(&mut plain, &mut std::io::sink()).context("cannot read")?;
    report("decompress", bytes, start);
    let (_, mut plain) = decompress(open()?)?;
    let start = Instant::now();
    let mut hasher = Hasher::new();
    std::io::copy(&mut plain, &mut hasher).context("cannot read")?;
    let diff_id: Digest = hasher.finish();
    report("decompress and hash", bytes, start);

    let start = Instant::now();
    let layer = store.unpack(open()?, Some(diff_id), &Limits::default())?;
    report("unpack", bytes, start);
    let info = layer.info();
    let start = Instant::now();
    store.publish(vec![layer])?;
    report("publish (sync)", bytes, start);
    let root = File::open(store.path(&diff_id)).context("cannot open the layer")?;
    let start = Instant::now();
    export(root.as_fd(), std::io::sink())?;
    report("export", bytes, start);
    let start = Instant::now();
    store.remove(&diff_id)?;
    report("remove", bytes, start);
    println!("{archive}: {compression:?}, {} entries, {} MB of files\n", info.entries, info.size / 1_000_000);
    Ok(())
}

fn report(what: &str, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:>20}: {:8.1} ms {:8.0} MB/s", seconds * 1e3, bytes as f64 / 1e6 / seconds);
}
