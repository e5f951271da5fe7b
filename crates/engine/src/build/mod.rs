//! Builds: from a Dockerfile to an image, with everything that was built before.
//!
//! [`Builds`] is the door, for every protocol alike: it plans, solves and names. Who asks is a
//! [`Session`]; [`context`] keeps the files that clients sent.

mod context;
mod fetch;
mod git;
mod host;
mod prune;
mod rows;
mod session;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use wharf_build::cache::{Cache, Record, RecordKind};
use wharf_build::dockerfile::{self, Failure, Span};
use wharf_build::host::{Host, Session};
use wharf_build::plan::{self, Images as PlanImages, Lowered, Plan};
use wharf_build::progress::Event;
use wharf_build::solve::{self, Built, Solver, StepError};
use wharf_image::{ImageDocument, ImageId};
use wharf_storage::{Lease, overlay};
use wharf_types::{Error, Reference, Result};

use crate::services::Services;
use host::EngineHost;

pub use context::{ContextLease, Contexts, Missing};
pub use wharf_build::dockerfile::Source;
pub use wharf_build::host::RegistryLogin;
pub use wharf_build::plan::{NamedContext, Options, PlanLine};

/// What a build tells, for those who pass it on.
pub mod events {
    pub use wharf_build::dockerfile::Network;
    pub use wharf_build::host::Stream;
    pub use wharf_build::progress::{Ending, Event};
}

pub use prune::{PruneOptions, Pruned};
pub use session::LocalSession;

/// What is built, and what becomes of it.
pub struct Request {
    /// The Dockerfile.
    pub source: Source,
    /// Everything beside it.
    pub options: Options,
    /// Names of the image.
    pub names: Vec<Reference>,
    /// Ask registries for newer images.
    pub pull: bool,
}

/// A build that has been read and planned, and whose images are here.
pub struct Prepared {
    plan: Box<Plan>,
    request: Request,
    /// Keeps the images until the build is done.
    _leases: Vec<Lease>,
}

impl Prepared {
    /// The steps.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// A build whose steps have been carried out; what came of them is held as long as this lives.
pub struct Solved {
    prepared: Prepared,
    built: Built,
}

impl Solved {
    /// The image's configuration.
    pub fn document(&self) -> &ImageDocument {
        &self.built.document
    }
}

/// Why a build failed.
#[derive(Debug)]
pub enum Broken {
    /// The Dockerfile makes no sense.
    Dockerfile(Failure),
    /// A step failed.
    Step(StepError),
    /// Something else, perhaps with a place.
    Other(Error, Option<Span>),
}

impl Broken {
    /// As the Engine API says it.
    pub fn to_error(&self) -> Error {
        match self {
            Broken::Dockerfile(failure) => failure.clone().into_error(),
            Broken::Step(step) => step.to_error(),
            Broken::Other(error, _) => {
                let copy = Error::new(error.kind(), error.chain());
                match error.hint() {
                    Some(hint) => copy.with_hint(hint),
                    None => copy,
                }
            }
        }
    }

    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Broken::Dockerfile(failure) => failure.hint.clone(),
            Broken::Step(step) => step.error.hint().map(str::to_owned),
            Broken::Other(error, _) => error.hint().map(str::to_owned),
        }
    }

    /// Where, if it has a place.
    pub fn span(&self) -> Option<Span> {
        match self {
            Broken::Dockerfile(failure) => Some(failure.span),
            Broken::Step(step) => Some(step.span),
            Broken::Other(_, span) => *span,
        }
    }
}

/// All builds of an engine; clones share them.
#[derive(Clone)]
pub struct Builds {
    services: Services,
    host: Arc<EngineHost>,
    cache: Arc<Cache>,
    contexts: Contexts,
    boot: String,
}

impl Builds {
    /// Reads the cache's records. Layers of another boot that were never made durable are forgotten with them.
    pub(crate) async fn open(services: &Services) -> Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let mut records: Vec<(Record, Option<Lease>)> = Vec::new();
        let journal = rows::Rows(services.store.clone());
        for record in rows::load(&services.store).await? {
            let is_lost = record.unsynced_boot.as_ref().is_some_and(|made| *made != boot);
            let store = services.images.store();
            let is_here = record.layer.is_none_or(|layer| store.layers().has(&layer.diff_id));
            if is_lost || !is_here {
                wharf_build::cache::Journal::remove(&journal, &record.key);
                if let Some(layer) = record.layer.filter(|_| is_lost) {
                    services.images.run(move |store| store.drop_unsynced(&layer.diff_id)).await?;
                }
                continue;
            }
            let lease = record.layer.map(|layer| store.lease_layers(&[layer.diff_id]));
            records.push((record, lease));
        }
        let host = Arc::new(EngineHost { services: services.clone() });
        let cache = Arc::new(Cache::new(records, Box::new(journal)));
        let contexts = Contexts::open(services.config.build_dir().join("contexts"))?;
        Ok(Self { services: services.clone(), host, cache, contexts, boot })
    }

    /// The files that clients sent.
    pub fn contexts(&self) -> &Contexts {
        &self.contexts
    }

    /// Reads and plans, and finds the images that are built upon.
    ///
    /// # Errors
    /// What is wrong with the Dockerfile, or an image that cannot be found.
    pub async fn prepare(&self, request: Request, session: &dyn Session) -> Result<Prepared, Broken> {
        let file = dockerfile::parse(&request.source).map_err(Broken::Dockerfile)?;
        let mut images = PlanImages::new();
        let mut leases = Vec::new();
        loop {
            match plan::lower(&file, &request.options, &images).map_err(Broken::Dockerfile)? {
                Lowered::Plan(plan) => return Ok(Prepared { plan, request, _leases: leases }),
                Lowered::Needs(needs) => {
                    for (need, span) in needs {
                        let task = format!("load metadata for {}", need.name);
                        session.progress(Event::Task { name: task.clone(), done: false });
                        let found = self.host.resolve(&need, request.pull, session).await;
                        session.progress(Event::Task { name: task, done: true });
                        let (image, lease) = found.map_err(|error| Broken::Other(error, Some(span)))?;
                        leases.push(lease);
                        images.insert(need, image);
                    }
                }
            }
        }
    }

    /// Carries a prepared build out and names its image.
    ///
    /// # Errors
    /// The first step that failed, or what kept the image from being stored.
    pub async fn run(&self, prepared: Prepared, session: Arc<dyn Session>) -> Result<ImageId, Broken> {
        let names = prepared.request.names.clone();
        let solved = self.solve(prepared, Arc::clone(&session)).await?;
        self.store(&solved, &names, &*session).await
    }

    /// Carries the steps of a prepared build out.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn solve(&self, prepared: Prepared, session: Arc<dyn Session>) -> Result<Solved, Broken> {
        let solver = Solver {
            host: Arc::clone(&self.host) as Arc<dyn Host>,
            cache: Arc::clone(&self.cache),
            session,
            boot: self.boot.clone(),
            epoch: prepared.request.options.epoch,
        };
        let built = solve::solve(&solver, &prepared.plan).await.map_err(Broken::Step)?;
        Ok(Solved { prepared, built })
    }

    /// Keeps the result of a build as an image with these names.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store(&self, solved: &Solved, names: &[Reference], session: &dyn Session) -> Result<ImageId, Broken> {
        let task = "exporting to image".to_owned();
        session.progress(Event::Task { name: task.clone(), done: false });
        let built = &solved.built;
        let (document, layers, unsynced) = (built.document.clone(), built.layers.clone(), !built.unsynced.is_empty());
        let parent = solved.prepared.plan.base.as_ref().map(|image| image.id);
        let given = names.to_vec();
        let stored =
            self.services.images.run(move |store| store.add_built(&document, layers, &given, parent, unsynced));
        let id = stored.await.map_err(|error| Broken::Other(error, None))?;
        self.cache.synced(&built.unsynced);
        session.progress(Event::Task { name: task, done: true });
        for name in names {
            self.services.images.tell("tag", &id.to_string(), &name.clone().or_latest().familiar());
        }
        self.services.events.publish("builder", "build", &id.to_string(), BTreeMap::<String, String>::new());
        Ok(id)
    }

    /// Fetches a context from an address: an archive, a Dockerfile alone, or a repository.
    ///
    /// # Errors
    /// Those of fetching, and what is wrong with the address.
    pub async fn fetch_context(&self, address: &str) -> Result<ContextLease> {
        fetch::context(&self.services.images, &self.contexts, address).await
    }

    /// The files of a result, as a folder that can be read; `None` where there is none.
    ///
    /// # Errors
    /// Those of mounting.
    pub async fn files(&self, solved: &Solved) -> Result<Option<OwnedFd>> {
        let (diff_ids, images) = (solved.built.document.rootfs.diff_ids.clone(), self.services.images.clone());
        crate::blocking(move || {
            let stack = images.store().layers().stack(&diff_ids);
            if stack.is_empty() { Ok(None) } else { overlay::mount_layers(&stack).map(Some) }
        })
        .await
    }
}

/// Writes the files of a result as a tar.
///
/// # Errors
/// Those of reading and writing.
pub fn write_tar(root: std::os::fd::BorrowedFd<'_>, out: impl std::io::Write) -> Result<()> {
    wharf_storage::tar::export(root, out)
}

/// Whether a record is of a kind that people call internal.
pub(crate) fn kind_word(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Step => "regular",
        RecordKind::CacheMount => "exec.cachemount",
    }
}
