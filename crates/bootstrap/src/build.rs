//! From options to an image.

use crate::configure::{COMMAND, add_files, archive_path};
use crate::download::{fetch_all, open, read, unpack_all};
use crate::export::filter;
use crate::fetch::Fetcher;
use crate::image::{fulfils, import_request, is_current};
use crate::options::{Options, Refresh, host_architecture};
use crate::pipe::{PipeWriter, to_task, to_thread};
use crate::plan::{self, Chosen, Plan};
use crate::progress::{Event, Phase, Progress};
use crate::rootfs::RootFs;
use crate::target::{ContainerRequest, ExistingImage, ImportRequest, Target};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use wharf_types::{Error, Kind, Result, ResultExt};

/// What has come of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The image's id.
    pub image: String,
    /// Whether the image was there already.
    pub reused: bool,
    /// How many packages it has; 0 when it was there already.
    pub packages: usize,
    /// The size of the root file system as a tar stream, in bytes; 0 when it was there already.
    pub size: u64,
    /// How long it took.
    pub timings: Timings,
}

/// How long the phases took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// Fetching and verifying indices and packages.
    pub download: Duration,
    /// Merging the packages and importing them.
    pub unpack: Duration,
    /// Configuring them in the container.
    pub configure: Duration,
    /// Importing the result.
    pub import: Duration,
}

/// How many of the last lines of a failed configuration are shown.
const LOG_LINES: usize = 20;
/// More than any configuration writes.
const ALL_LINES: usize = 100_000;
/// How often the log is looked at.
const WATCH: Duration = Duration::from_millis(400);

/// Makes the image that the options ask for. After `cancel`, or when anything fails, no container and no image is
/// left behind.
pub async fn bootstrap<T: Target>(
    target: &T,
    options: Options,
    progress: Arc<dyn Progress>,
    cancel: CancellationToken,
) -> Result<Outcome> {
    let name = options.tag.familiar();
    let existing = target.image(&name).await?.filter(|image| fulfils(image, &options));
    if let Some(image) = existing.as_ref().filter(|_| options.refresh == Refresh::IfMissing) {
        return Ok(reused(image));
    }
    let work = Work { target, options: Arc::new(options), progress, cancel, timings: Timings::default() };
    work.build(existing).await
}

fn reused(image: &ExistingImage) -> Outcome {
    Outcome { image: image.id.clone(), reused: true, packages: 0, size: 0, timings: Timings::default() }
}

struct Work<'t, T> {
    target: &'t T,
    options: Arc<Options>,
    progress: Arc<dyn Progress>,
    cancel: CancellationToken,
    timings: Timings,
}

impl<T: Target> Work<'_, T> {
    async fn build(mut self, existing: Option<ExistingImage>) -> Result<Outcome> {
        let start = Instant::now();
        let plan = self.plan().await?;
        if self.options.refresh == Refresh::IfChanged
            && let Some(image) = existing.as_ref().filter(|image| is_current(image, &plan))
        {
            return Ok(reused(image));
        }
        self.download(&plan).await?;
        self.timings.download = start.elapsed();
        let start = Instant::now();
        let unpacked = self.unpack(&plan).await?;
        self.timings.unpack = start.elapsed();
        let result = self.complete(&plan, &unpacked).await;
        // Once the final image is there, it does not share this one's layer, and nothing else does.
        let removed = ignore_missing(self.target.remove_image(&unpacked).await);
        let (image, size) = result?;
        removed.context("cannot remove the unconfigured image")?;
        self.remove_previous(existing, &image).await;
        Ok(Outcome { image, reused: false, packages: plan.all().count(), size, timings: self.timings })
    }

    async fn plan(&self) -> Result<Arc<Plan>> {
        let (options, progress, cancel) = (self.options.clone(), self.progress.clone(), self.cancel.clone());
        let make = move || {
            plan::make(&Fetcher::new(&options, cancel)?, &options, &host_architecture(), &*progress).map(Arc::new)
        };
        joined(spawn_blocking(make).await)
    }

    async fn download(&self, plan: &Arc<Plan>) -> Result<()> {
        let (options, progress, cancel, plan) =
            (self.options.clone(), self.progress.clone(), self.cancel.clone(), plan.clone());
        let fetch = move || fetch_all(&Fetcher::new(&options, cancel)?, &plan.all().collect::<Vec<_>>(), &*progress);
        joined(spawn_blocking(fetch).await)
    }

    /// Merges the packages into an image that is not configured yet, and gives its id.
    async fn unpack(&self, plan: &Arc<Plan>) -> Result<String> {
        let (options, progress, cancel, plan) =
            (self.options.clone(), self.progress.clone(), self.cancel.clone(), plan.clone());
        let (writer, stream) = to_task();
        let writing = spawn_blocking(move || write_root(writer, &plan, &options, &*progress, &cancel));
        let request = ImportRequest { message: "unconfigured packages".to_owned(), ..ImportRequest::default() };
        let imported = self.unless_cancelled(self.target.import(request, stream)).await;
        both(joined(writing.await), imported)
    }

    /// Configures the packages in a container, and imports its root file system as the final image.
    async fn complete(&mut self, plan: &Plan, unpacked: &str) -> Result<(String, u64)> {
        let container = container_name();
        let result = self.complete_in(plan, unpacked, &container).await;
        let removed = ignore_missing(self.target.remove_container(&container).await);
        let done = result?;
        removed.context("cannot remove the container that configured the packages")?;
        Ok(done)
    }

    async fn complete_in(&mut self, plan: &Plan, unpacked: &str, container: &str) -> Result<(String, u64)> {
        let start = Instant::now();
        self.progress.report(Event::Begin(Phase::Configure));
        self.unless_cancelled(self.configure(unpacked, container, plan.all().count() as u64)).await?;
        self.timings.configure = start.elapsed();
        let start = Instant::now();
        self.progress.report(Event::Begin(Phase::Import));
        let done = self.unless_cancelled(self.finish(plan, container)).await?;
        self.timings.import = start.elapsed();
        Ok(done)
    }

    async fn configure(&self, unpacked: &str, container: &str, packages: u64) -> Result<()> {
        let request = ContainerRequest {
            name: container.to_owned(),
            image: unpacked.to_owned(),
            command: COMMAND.map(str::to_owned).to_vec(),
            labels: HashMap::from([("io.wharf.bootstrap.stage".to_owned(), "configure".to_owned())]),
        };
        self.target.create(request).await.context("cannot create the container that configures the packages")?;
        self.target.start(container).await.context("cannot start the container that configures the packages")?;
        let code = tokio::select! {
            code = self.target.wait(container) => code?,
            never = self.watch(container, packages) => match never {},
        };
        if code == 0 {
            return Ok(());
        }
        let log = self.target.logs(container, LOG_LINES).await.unwrap_or_else(|error| error.to_string());
        Err(Error::system(format!("the packages cannot be configured (exit code {code}):\n{}", log.trim_end())))
    }

    /// Follows dpkg by its log, without end. Failing to see the log is no failure of the work.
    async fn watch(&self, container: &str, total: u64) -> std::convert::Infallible {
        let mut before = 0;
        loop {
            tokio::time::sleep(WATCH).await;
            let log = self.target.logs(container, ALL_LINES).await.unwrap_or_default();
            let done = (log.lines().filter(|line| line.starts_with("Setting up ")).count() as u64).min(total);
            if done > before {
                self.progress.report(Event::Advance { phase: Phase::Configure, done, total });
                before = done;
            }
        }
    }

    /// Streams the container's files through the filter into the final image.
    async fn finish(&self, plan: &Plan, container: &str) -> Result<(String, u64)> {
        let (reader, pump) = to_thread(self.target.export(container).await?);
        let (mut writer, stream) = to_task();
        let (latest, progress) = (seconds(plan.date), self.progress.clone());
        let filtering = spawn_blocking(move || {
            let size = AtomicU64::new(0);
            let advance = |bytes| {
                let done = size.fetch_add(bytes, Ordering::Relaxed) + bytes;
                progress.report(Event::Advance { phase: Phase::Import, done, total: 0 });
            };
            filter(reader, &mut writer, latest, &advance)?;
            writer.finish().context("cannot write the image")?;
            Ok(size.into_inner())
        });
        let (imported, ()) = tokio::join!(self.target.import(import_request(&self.options, plan), stream), pump);
        let mut size = 0;
        let image = both(joined(filtering.await).map(|total| size = total), imported)?;
        Ok((image, size))
    }

    /// An earlier image of the same wish has lost its name; it goes, unless something still uses it.
    async fn remove_previous(&self, existing: Option<ExistingImage>, image: &str) {
        if let Some(previous) = existing.filter(|previous| previous.id != image)
            && let Err(error) = self.target.remove_image(&previous.id).await
        {
            self.progress.report(Event::Note(&format!("the previous image {} stays: {error}", previous.id)));
        }
    }

    async fn unless_cancelled<V>(&self, work: impl Future<Output = Result<V>>) -> Result<V> {
        tokio::select! {
            result = work => result,
            () = self.cancel.cancelled() => Err(crate::cancelled()),
        }
    }
}

fn write_root(
    mut out: PipeWriter,
    plan: &Plan,
    options: &Options,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<()> {
    let (time, total) = (seconds(plan.date), plan.base.len() as u64);
    progress.report(Event::Begin(Phase::Unpack));
    let first = plan.base.first().ok_or_else(|| Error::corrupt("the repository has no essential packages"))?;
    let mut root = RootFs::new(&mut out, &host_architecture(), &open(first)?, time)?;
    let mut done = 0;
    unpack_all(&plan.base, cancel, |package: &Chosen, deb| {
        done += 1;
        progress.report(Event::Advance { phase: Phase::Unpack, done, total });
        root.add(package, deb)
    })?;
    add_files(&mut root, plan, options, time)?;
    for package in &plan.extra {
        root.file(&archive_path(package), 0o644, &read(package)?)?;
    }
    root.finish()?;
    out.finish().context("cannot write the root file system")
}

/// The result of an import and of the thread that feeds it. When both fail, the one that failed first is the cause:
/// a thread that could not write failed because the import had.
fn both(fed: Result<()>, imported: Result<String>) -> Result<String> {
    match (fed, imported) {
        (Err(fed), Err(imported)) if is_broken_pipe(&fed) => Err(imported),
        (Err(fed), _) => Err(fed),
        (Ok(()), imported) => imported,
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

fn joined<V>(result: Result<Result<V>, tokio::task::JoinError>) -> Result<V> {
    result.unwrap_or_else(|error| Err(Error::system("a thread ended unexpectedly").caused_by(error)))
}

fn ignore_missing(result: Result<()>) -> Result<()> {
    result.or_else(|error| if error.kind() == Kind::NotFound { Ok(()) } else { Err(error) })
}

fn container_name() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("wharf-bootstrap-{}-{:x}", std::process::id(), now.as_nanos())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}
