//! Measures how fast a tar stream becomes a layer: `cargo run --release -p wharf-storage --example unpack -- FOLDER TAR…`.
//!
//! Unpacks each archive into a store in FOLDER, publishes it, exports it, removes it, and says how long each took.

#![allow(clippy::print_stdout)] // its output is its purpose

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

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
    let start = Clock::now();
    let (compression, mut plain) = decompress(open()?)?;
    let bytes = std::io::copy(&mut plain, &mut std::io::sink()).context("cannot read")?;
    report("decompress", bytes, start);
    let (_, mut plain) = decompress(open()?)?;
    let start = Clock::now();
    let mut hasher = Hasher::new();
    std::io::copy(&mut plain, &mut hasher).context("cannot read")?;
    let diff_id: Digest = hasher.finish();
    report("decompress and hash", bytes, start);

    let start = Clock::now();
    let layer = store.unpack(open()?, Some(diff_id), &Limits::default())?;
    report("unpack", bytes, start);
    let info = layer.info();
    let start = Clock::now();
    store.publish(vec![layer])?;
    report("publish (sync)", bytes, start);
    let root = File::open(store.path(&diff_id)).context("cannot open the layer")?;
    let start = Clock::now();
    export(root.as_fd(), std::io::sink())?;
    report("export", bytes, start);
    let start = Clock::now();
    store.remove(&diff_id)?;
    report("remove", bytes, start);
    println!("{archive}: {compression:?}, {} entries, {} MB of files\n", info.entries, info.size / 1_000_000);
    Ok(())
}

/// Time that passed, and time that this process computed: on a busy machine only the second can be compared.
#[derive(Clone, Copy)]
struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    fn now() -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self { wall: Instant::now(), cpu: cpu.try_into().unwrap_or_default() }
    }
}

fn report(what: &str, bytes: u64, start: Clock) {
    let wall = start.wall.elapsed().as_secs_f64();
    let cpu = (Clock::now().cpu - start.cpu).as_secs_f64();
    let speed = |seconds: f64| bytes as f64 / 1e6 / seconds;
    println!(
        "{what:>20}: {:7.0} ms {:6.0} MB/s, of computing {:7.0} ms {:6.0} MB/s",
        wall * 1e3,
        speed(wall),
        cpu * 1e3,
        speed(cpu)
    );
}
