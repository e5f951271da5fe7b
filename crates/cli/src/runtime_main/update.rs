//! Changing the limits of a container.

use std::io::Read;

use wharf_runtime::oci::{self, config};
use wharf_types::{Error, Result, ResultExt};

use super::Globals;
use super::words::Words;
use crate::grammar::number;

/// Changes what is named, and remembers it.
pub fn update(globals: &Globals, words: &Words) -> Result<u8> {
    let wanted = match words.value("resources") {
        Some(path) => document(path)?,
        None => from_flags(words)?,
    };
    let limits = oci::resources(&wanted)?;
    let container = globals.store.open(words.id()?)?;
    if container.status() == oci::Status::Stopped {
        return Err(Error::conflict("container not running"));
    }
    container.group()?.update(&limits)?;
    Ok(0)
}

fn document(path: &str) -> Result<config::Resources> {
    let mut text = Vec::new();
    match path {
        "-" => std::io::stdin().read_to_end(&mut text).map(drop).context("cannot read standard input")?,
        path => text = std::fs::read(path).with_context(|| format!("cannot read {path}"))?,
    }
    serde_json::from_slice(&text).map_err(|error| Error::invalid("these are no resources").caused_by(error))
}

fn from_flags(words: &Words) -> Result<config::Resources> {
    let bytes = |name: &str| -> Result<Option<i64>> {
        let parse = |text: &str| match text {
            "-1" => Ok(-1),
            text => number::bytes(text).map_err(|_| Error::invalid(format!("invalid value for {name}: {text:?}"))),
        };
        words.value(name).map(parse).transpose()
    };
    let list = |name: &str| words.value(name).unwrap_or_default().to_owned();
    Ok(config::Resources {
        memory: Some(config::Memory {
            limit: bytes("memory")?,
            reservation: bytes("memory-reservation")?,
            swap: bytes("memory-swap")?,
            ..config::Memory::default()
        }),
        cpu: Some(config::Cpu {
            shares: words.number("cpu-share")?,
            quota: words.number("cpu-quota")?,
            burst: words.number("cpu-burst")?,
            period: words.number("cpu-period")?,
            realtime_runtime: words.number("cpu-rt-runtime")?,
            realtime_period: words.number("cpu-rt-period")?,
            cpus: list("cpuset-cpus"),
            mems: list("cpuset-mems"),
            idle: words.number("cpu-idle")?,
        }),
        pids: words.number("pids-limit")?.map(|limit| config::Pids { limit }),
        block_io: Some(config::BlockIo { weight: words.number("blkio-weight")?, ..config::BlockIo::default() }),
        ..config::Resources::default()
    })
}
