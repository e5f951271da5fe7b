//! Pull and push: a large image from Debian's registry and back, by the command lines of the engines.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use wharf_testkit::bulk::{Bulk, Layout, Packing};
use wharf_testkit::foreign::find;
use wharf_testkit::wait;

use super::images::PeakMemory;
use super::{Setting, timed};
use crate::bench::engines::{Engine, http};
use crate::bench::report::{Promise, Row};
use crate::command::quietly;

/// Rows for pull and push: time, processor time and memory of the engine.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    if find("docker-registry").is_none() {
        println!("docker-registry is not installed, so pull and push are left out");
        return Ok(Vec::new());
    }
    let rounds = if setting.quick { 1 } else { 3 };
    let folder = tempfile::Builder::new().prefix("wharf-bench-pull-").tempdir()?;
    let registry = Registry::start(&folder.path().join("full"))?;
    let empty = Registry::start(&folder.path().join("empty"))?;
    for (packing, name) in [(Packing::Gzip, "gzip"), (Packing::Zstd, "zstd")] {
        let layout = Bulk::LARGE.write_layout(&folder.path().join("layout"), "x:1", packing)?;
        registry.take(name, &layout)?;
        fs::remove_dir_all(&layout.folder)?;
    }
    let times = |limit| Some(Promise::Times("dockerd", limit));
    let image = |name: &str| format!("{}/{name}:1", registry.address);
    let mut pull = Row::new("pull, 8 layers, 645 MB, gzip", "s", times(0.4));
    let mut zstd = Row::new("the same as zstd (dockerd: gzip)", "s", times(0.3));
    let mut processor = Row::new("pull of gzip: the engine's processor time", "s", times(0.6));
    let mut memory =
        Row::new("pull of gzip: the engine's resident memory at its highest", "MiB", Some(Promise::Limit(120.0)));
    let mut again = Row::new("pull of a present image (API)", "ms", Some(Promise::Limit(10.0)));
    let mut push = Row::new("push of the same to an empty repository", "s", times(0.4));
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let (mut pulls, mut zstds, mut cpu, mut peaks, mut pushes) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            PeakMemory::reset(engine.as_ref())?;
            let before = processor_time(engine.as_ref());
            pulls.push(pulled(engine.as_ref(), &image("gzip"))?);
            cpu.push(processor_time(engine.as_ref()) - before);
            peaks.push(PeakMemory::mib(engine.as_ref())?);
            if round == 0 {
                again.add(engine.name(), asked_again(engine.as_ref(), &image("gzip"))?);
            }
            // dockerd 20.10 knows no zstd.
            if engine.name() == "wharf" {
                quietly(&mut engine.cli(&["rmi", "--force", &image("gzip")]))?;
                zstds.push(pulled(engine.as_ref(), &image("zstd"))?);
                quietly(&mut engine.cli(&["rmi", "--force", &image("zstd")]))?;
                quietly(&mut engine.cli(&["pull", "--quiet", &image("gzip")]))?;
            }
            let target = format!("{}/pushed:{round}", empty.address);
            quietly(&mut engine.cli(&["tag", &image("gzip"), &target]))?;
            empty.clear()?;
            pushes.push(timed(|| quietly(&mut engine.cli(&["push", "--quiet", &target])))?.0 / 1e3);
            quietly(&mut engine.cli(&["rmi", "--force", &target]))?;
            quietly(&mut engine.cli(&["rmi", "--force", &image("gzip")]))?;
        }
        pull.add(engine.name(), pulls.clone());
        zstd.add(engine.name(), if zstds.is_empty() { pulls } else { zstds });
        processor.add(engine.name(), cpu);
        memory.add(engine.name(), peaks);
        push.add(engine.name(), pushes);
    }
    Ok(vec![pull, zstd, processor, memory, again, push])
}

fn pulled(engine: &dyn Engine, image: &str) -> Result<f64> {
    Ok(timed(|| quietly(&mut engine.cli(&["pull", "--quiet", image])))?.0 / 1e3)
}

fn asked_again(engine: &dyn Engine, image: &str) -> Result<Vec<f64>> {
    let Some(mut http) = http(engine) else { return Ok(Vec::new()) };
    let (name, tag) = image.rsplit_once(':').context("a name with a tag")?;
    let path = format!("/images/create?fromImage={name}&tag={tag}");
    (0..10).map(|_| Ok(timed(|| Ok(http.post(&path, &serde_json::Value::Null)?.checked()?))?.0)).collect()
}

/// Seconds that the engine's processes have computed so far.
fn processor_time(engine: &dyn Engine) -> f64 {
    engine.processes().iter().map(|process| seconds_computed(process.pid)).sum()
}

/// Seconds that a process has computed so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths; none if it has ended.
pub(super) fn seconds_computed(pid: i32) -> f64 {
    let of = || -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
    };
    of().unwrap_or(0.0)
}

/// Debian's registry on a port and a folder of its own.
pub(super) struct Registry {
    process: Child,
    address: String,
    root: std::path::PathBuf,
}

impl Registry {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (address, root) = (format!("127.0.0.1:{port}"), folder.join("registry"));
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            root.display()
        );
        let path = folder.join("registry.yml");
        fs::write(&path, settings)?;
        let mut command = Command::new("docker-registry");
        let command = command.arg("serve").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { process: command.spawn()?, address, root: root.join("docker/registry/v2") };
        wait::until("the registry listens", || TcpStream::connect(&registry.address).ok());
        Ok(registry)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap_or(0)
    }

    /// Lays an image into the registry's folders as it would itself.
    fn take(&self, name: &str, layout: &Layout) -> Result<()> {
        let repository = self.root.join("repositories").join(name);
        let blobs = layout.folder.join("blobs/sha256");
        for entry in fs::read_dir(&blobs)? {
            let entry = entry?;
            let digits = entry.file_name().to_string_lossy().into_owned();
            let folder = self.root.join("blobs/sha256").join(&digits[..2]).join(&digits);
            fs::create_dir_all(&folder)?;
            fs::rename(entry.path(), folder.join("data"))?;
            link(&repository.join("_layers/sha256").join(&digits), &digits)?;
        }
        let digits = layout.manifest.trim_start_matches("sha256:");
        link(&repository.join("_manifests/revisions/sha256").join(digits), digits)?;
        link(&repository.join("_manifests/tags/1/current"), digits)?;
        link(&repository.join("_manifests/tags/1/index/sha256").join(digits), digits)
    }

    /// Removes everything, so that a push has to send all.
    fn clear(&self) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        Ok(())
    }
}

fn link(folder: &Path, digits: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join("link"), format!("sha256:{digits}"))?)
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}
