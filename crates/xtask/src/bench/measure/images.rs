//! Images in and out of an engine: save, load, commit, prune, with a large image that every engine gets alike.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wharf_testkit::bulk::{Bulk, Packing};
use wharf_testkit::golden::Archive;
use wharf_testkit::http::Http;

use super::api::create_and_start;
use super::{Setting, timed};
use crate::bench::engines::{Engine, IMAGE, http};
use crate::bench::report::{Promise, Row};
use crate::command::quietly;

/// The name of the large image.
const LARGE: &str = "bench-large:1";
/// How much a container has written when it is committed, in MB.
const COMMITTED: u32 = 200;

/// Rows for load, save and commit by the command line, and for a prune of many layers.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let rounds = if setting.quick { 1 } else { 3 };
    let folder = tempfile::Builder::new().prefix("wharf-bench-images-").tempdir()?;
    let mut rows = Vec::new();
    for (packing, name) in [(Packing::Plain, "plain"), (Packing::Gzip, "gzip")] {
        let archive = folder.path().join("large.tar");
        let layout = folder.path().join("layout");
        Bulk::LARGE.write_layout(&layout, LARGE, packing)?.write_archive(&archive)?;
        fs::remove_dir_all(&layout)?;
        rows.extend(transfers(setting, &archive, name, rounds)?);
        fs::remove_file(&archive)?;
    }
    rows.push(commits(setting, rounds)?);
    rows.extend(prunes(setting, folder.path())?);
    rows.extend(super::pull::measure(setting)?);
    Ok(rows)
}

/// Each engine in turn loads the archive, saves the image and forgets it.
fn transfers(setting: &Setting, archive: &Path, packing: &str, rounds: u32) -> Result<[Row; 3]> {
    let half = Some(Promise::Times("dockerd", 0.5));
    let what = format!("load, 8 layers, 645 MB, {packing}");
    let mut load = Row::new(what.clone(), "s", half);
    let mut save = Row::new(format!("save of the same, from {packing}"), "s", half);
    let mut memory =
        Row::new(format!("{what}: the engine's resident memory at its highest"), "MiB", Some(Promise::Limit(120.0)));
    let mut times: Vec<[Vec<f64>; 3]> = setting.engines.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (engine, times) in setting.engines.iter().zip(&mut times).filter(|(engine, _)| engine.socket().is_some()) {
            PeakMemory::reset(engine.as_ref())?;
            let loaded = timed(|| quietly(engine.cli(&["load", "--quiet", "--input"]).arg(archive)))?.0;
            times[2].push(PeakMemory::mib(engine.as_ref())?);
            let output = archive.with_extension("saved");
            let saved = timed(|| {
                let mut command = engine.cli(&["save", LARGE]);
                let status = command.stdin(Stdio::null()).stdout(File::create(&output)?).status()?;
                ensure!(status.success(), "{} cannot save", engine.name());
                Ok(())
            })?;
            fs::remove_file(&output)?;
            quietly(&mut engine.cli(&["rmi", "--force", LARGE]))?;
            times[0].push(loaded / 1e3);
            times[1].push(saved.0 / 1e3);
        }
    }
    for (engine, [loads, saves, peaks]) in setting.engines.iter().zip(times) {
        load.add(engine.name(), loads);
        save.add(engine.name(), saves);
        memory.add(engine.name(), peaks);
    }
    Ok([load, save, memory])
}

/// The highest resident set of an engine's processes since it was reset (`proc(5)`, `clear_refs`).
pub(super) struct PeakMemory;

impl PeakMemory {
    pub(super) fn reset(engine: &dyn Engine) -> Result<()> {
        for process in engine.processes() {
            fs::write(format!("/proc/{}/clear_refs", process.pid), "5").context("cannot reset a memory peak")?;
        }
        Ok(())
    }

    /// `VmHWM` of all processes; one that has ended counts nothing.
    pub(super) fn mib(engine: &dyn Engine) -> Result<f64> {
        let mut kib = 0.0;
        for process in engine.processes() {
            let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let value = line.and_then(|line| line.trim().strip_suffix("kB")).map_or("0", str::trim);
            kib += value.parse::<f64>()?;
        }
        Ok(kib / 1024.0)
    }
}

/// A commit of a container that has written a large file.
fn commits(setting: &Setting, rounds: u32) -> Result<Row> {
    let what = format!("commit, layer of {COMMITTED} MB");
    let mut row = Row::new(what, "s", Some(Promise::Times("dockerd", 1.0)));
    for engine in &setting.engines {
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let write = format!("dd if=/dev/urandom of=/data bs=1M count={COMMITTED} 2>/dev/null; sync; sleep 1000");
        let id = create_and_start(&mut http, &json!(["sh", "-c", write]))?;
        written(&mut http, &id)?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let path = format!("/commit?container={id}&repo=bench-commit&tag=1");
            let (time, _) = timed(|| Ok(http.post(&path, &json!({}))?.checked()?))?;
            times.push(time / 1e3);
            http.delete("/images/bench-commit:1?force=1")?.checked()?;
        }
        http.delete(&format!("/containers/{id}?force=1"))?.checked()?;
        row.add(engine.name(), times);
    }
    Ok(row)
}

/// Waits until the container has written its file: it sleeps then, and its size stays.
fn written(http: &mut Http, id: &str) -> Result<()> {
    let size = |http: &mut Http| -> Result<u64> {
        let inspected = http.get(&format!("/containers/{id}/json?size=1"))?.checked()?.json();
        Ok(inspected["SizeRw"].as_u64().unwrap_or(0))
    };
    for _ in 0..600 {
        if size(http)? >= u64::from(COMMITTED) << 20 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the container has not written its file")
}

/// Many images of one layer each are pruned while `ps` is asked again and again.
fn prunes(setting: &Setting, folder: &Path) -> Result<[Row; 2]> {
    let layers = if setting.quick { 100 } else { 1000 };
    let mut prune = Row::new(format!("prune of {layers} layers"), "s", Some(Promise::Times("dockerd", 1.0)));
    let mut slowest = Row::new("slowest `ps` meanwhile (API)", "ms", Some(Promise::Limit(50.0)));
    for engine in &setting.engines {
        let (Some(mut pruner), Some(asker)) = (http(engine.as_ref()), http(engine.as_ref())) else { continue };
        fill(engine.as_ref(), folder, layers)?;
        let id = create_and_start(&mut pruner, &json!(["sleep", "1000"]))?;
        let done = AtomicBool::new(false);
        let (time, worst) = std::thread::scope(|scope| -> Result<(f64, f64)> {
            let asking = scope.spawn(|| ask(asker, &done));
            let filter = "%7B%22label%22%3A%5B%22bench-prune%22%5D%2C%22dangling%22%3A%5B%22false%22%5D%7D";
            let pruned =
                timed(|| Ok(pruner.post(&format!("/images/prune?filters={filter}"), &Value::Null)?.checked()?));
            done.store(true, Ordering::Relaxed);
            let worst = asking.join().map_err(|_| anyhow::anyhow!("the one who asked died"))??;
            let (time, report) = pruned?;
            let deleted = report.json()["ImagesDeleted"].as_array().map_or(0, Vec::len);
            ensure!(deleted >= layers, "{} deleted {deleted} things only", engine.name());
            Ok((time, worst))
        })?;
        pruner.delete(&format!("/containers/{id}?force=1"))?.checked()?;
        prune.add(engine.name(), vec![time / 1e3]);
        slowest.add(engine.name(), vec![worst]);
    }
    Ok([prune, slowest])
}

/// Asks for the containers until told otherwise and gives the longest wait.
fn ask(mut http: Http, done: &AtomicBool) -> Result<f64> {
    let mut worst = 0.0f64;
    while !done.load(Ordering::Relaxed) {
        let (time, _) = timed(|| Ok(http.get("/containers/json")?.checked()?))?;
        worst = worst.max(time);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(worst)
}

/// Brings in images of one small layer each, all in one archive.
fn fill(engine: &dyn Engine, folder: &Path, count: usize) -> Result<()> {
    let digest = |bytes: &[u8]| wharf_testkit::bulk::digest(bytes);
    let mut archive = Archive::new();
    let mut manifest = Vec::new();
    for number in 0..count {
        let files = (0..10).fold(Archive::new(), |layer, file| {
            layer.file(&format!("prune{number}/file{file}"), 0o644, format!("{number} {file}").as_bytes())
        });
        let layer = files.finish();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"bench-prune": ""}},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}, "history": [],
        });
        let (layer_name, config_name) = (format!("{number}/layer.tar"), format!("{number}.json"));
        archive = archive.file(&layer_name, 0o644, &layer).file(&config_name, 0o644, config.to_string().as_bytes());
        let name = format!("bench-prune:{number}");
        manifest.push(json!({"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}));
    }
    let manifest = json!(manifest).to_string();
    let path = folder.join("prune.tar");
    fs::write(&path, archive.file("manifest.json", 0o644, manifest.as_bytes()).finish())?;
    quietly(engine.cli(&["load", "--quiet", "--input"]).arg(&path))?;
    ensure!(quietly(&mut engine.cli(&["images", "--quiet", IMAGE]))?.lines().count() == 1, "the small image is gone");
    Ok(())
}
