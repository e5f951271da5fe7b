//! Carrying a plan out.
//!
//! Each step is a shared future that first awaits what it needs, so that independent steps run side by side and each runs
//! once. A step's key says what it is and what content it works on; identical steps of other builds at the same time wait
//! for each other's turn and find the result. Dropping the whole future kills what runs.

mod copy;
mod mounts;
mod run;
mod stubs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{FutureExt, Shared};
use serde::Serialize;
use wharf_image::{BuiltLayer, Descriptor, Image, ImageDocument, ImageStore, RootFs};
use wharf_storage::Lease;
use wharf_types::{Digest, Error, Result};

use crate::cache::{Cache, Pin, Record, RecordKind, now};
use crate::dockerfile::Span;
use crate::host::{Future, Host, Session};
use crate::plan::{FilesFrom, Node, NodeId, Op, Plan};
use crate::progress::{Ending, Event};

/// A part of every key; another number forgets all earlier results.
const VERSION: &str = "wharf-build-1";

/// Whom a build works for and with.
#[derive(Clone)]
pub struct Solver {
    /// The engine.
    pub host: Arc<dyn Host>,
    /// What was built before.
    pub cache: Arc<Cache>,
    /// The client.
    pub session: Arc<dyn Session>,
    /// Identifies the boot, for layers that are not durable yet.
    pub boot: String,
    /// `SOURCE_DATE_EPOCH`, seconds.
    pub epoch: Option<i64>,
}

/// What came of a plan.
pub struct Built {
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// The whole configuration.
    pub document: ImageDocument,
    /// Whether some layer may not be durable.
    pub unsynced: Vec<Digest>,
    /// Keeps layers and records as long as the image is not stored.
    pub held: Vec<Arc<Held>>,
}

/// Why a plan could not be carried out.
#[derive(Debug, Clone)]
pub struct StepError {
    /// The step.
    pub node: NodeId,
    /// Where it stands.
    pub span: Span,
    /// Why.
    pub error: Arc<Error>,
    /// The command and its exit code, if that is why.
    pub exit: Option<(String, i32)>,
}

/// What keeps a result from going away.
pub struct Held {
    _lease: Option<Lease>,
    _pin: Option<Pin>,
}

/// What a step left: layers on top of each other.
#[derive(Clone)]
pub(crate) struct State {
    layers: Arc<Vec<Descriptor>>,
    diff_ids: Arc<Vec<Digest>>,
    /// Stands for the whole content.
    chain: Digest,
    /// When the newest layer was made.
    created: Option<String>,
    /// The record of the step, for the book.
    key: Option<Digest>,
    /// Whether the step itself added a layer.
    added: bool,
    unsynced: Arc<Vec<Digest>>,
    held: Arc<Held>,
}

type Solving = Shared<Future<'static, std::result::Result<State, StepError>>>;

/// Carries out a plan.
///
/// # Errors
/// The first failure of any step.
pub async fn solve(solver: &Solver, plan: &Plan) -> std::result::Result<Built, StepError> {
    let needed = needed(plan);
    let steps = plan.nodes.iter().enumerate();
    let steps = steps.map(|(id, node)| if needed.contains(&id) { node.name.clone() } else { String::new() }).collect();
    solver.session.progress(Event::Planned { steps });
    let nodes: Arc<Vec<Node>> = Arc::new(plan.nodes.clone());
    let mut futures: BTreeMap<NodeId, Solving> = BTreeMap::new();
    for id in needed {
        let inputs: BTreeMap<NodeId, Solving> =
            inputs(&nodes[id].op).into_iter().filter_map(|input| Some((input, futures.get(&input)?.clone()))).collect();
        let step = Step { solver: solver.clone(), nodes: Arc::clone(&nodes), id, inputs };
        let future: Future<'static, _> = Box::pin(step.solve());
        futures.insert(id, future.shared());
    }
    // Every step that is planned matters: the result's history wants all of the target's, and they come first anyway.
    let result = futures[&plan.result].clone().await?;
    let mut states = BTreeMap::new();
    for id in plan.history.iter().flatten() {
        if let Some(future) = futures.get(id) {
            states.insert(*id, future.clone().await?);
        }
    }
    Ok(finish(solver, plan, &result, &states))
}

/// The steps that the result needs, in order.
fn needed(plan: &Plan) -> BTreeSet<NodeId> {
    let mut needed = BTreeSet::new();
    let mut open = vec![plan.result];
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(inputs(&plan.nodes[id].op));
        }
    }
    needed
}

fn inputs(op: &Op) -> Vec<NodeId> {
    let of = |from: &FilesFrom| match from {
        FilesFrom::Node(id) => Some(*id),
        FilesFrom::Context(_) => None,
    };
    match op {
        Op::Scratch | Op::Image(_) => Vec::new(),
        Op::Workdir { input, .. } => vec![*input],
        Op::Copy(copy) => std::iter::once(copy.input).chain(of(&copy.from)).collect(),
        Op::Run(run) => {
            let mounts = run.mounts.iter().filter_map(|(_, from)| from.as_ref().and_then(of));
            std::iter::once(run.input).chain(mounts).collect()
        }
    }
}

/// The configuration with its layers, history and times.
fn finish(solver: &Solver, plan: &Plan, result: &State, states: &BTreeMap<NodeId, State>) -> Built {
    let mut document = plan.document.clone();
    document.rootfs = RootFs::of(result.diff_ids.to_vec());
    let epoch =
        solver.epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).map(|time| time.to_string());
    let mut last = plan.base.as_ref().and_then(|image| image.document.created.clone());
    let inherited = plan.base.as_ref().map_or(0, |image| image.document.history.len());
    for (at, (step, node)) in document.history.iter_mut().zip(&plan.history).enumerate() {
        if at < inherited && step.created.is_some() {
            continue;
        }
        let state = node.and_then(|id| states.get(&id));
        if let Some(state) = state {
            step.empty_layer = !state.added;
            last = state.created.clone().or(last);
        }
        step.created = epoch.clone().or_else(|| last.clone());
    }
    let has_own = document.history.len() > inherited;
    document.created = match (epoch, has_own) {
        (Some(epoch), _) => Some(epoch),
        (None, _) => last.or_else(|| Some(now())),
    };
    let held = states.values().map(|state| Arc::clone(&state.held)).chain([Arc::clone(&result.held)]).collect();
    Built { layers: result.layers.to_vec(), document, unsynced: result.unsynced.to_vec(), held }
}

/// One step while it is solved.
struct Step {
    solver: Solver,
    nodes: Arc<Vec<Node>>,
    id: NodeId,
    inputs: BTreeMap<NodeId, Solving>,
}

/// A failure within a step, before it is told where.
pub(crate) struct Trouble {
    error: Error,
    exit: Option<(String, i32)>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, exit: None }
    }
}

impl Step {
    async fn solve(self) -> std::result::Result<State, StepError> {
        let inputs = futures_util::future::try_join_all(self.inputs.values().cloned()).await?;
        let inputs: BTreeMap<NodeId, State> = self.inputs.keys().copied().zip(inputs).collect();
        let node = &self.nodes[self.id];
        let session = &self.solver.session;
        session.progress(Event::Started(self.id));
        let solved = match &node.op {
            Op::Scratch => Ok((State::scratch(), false)),
            Op::Image(image) => self.image(image).await.map(|state| (state, true)).map_err(Trouble::from),
            Op::Workdir { input, path, user } => self.workdir(&inputs[input], path, user).await,
            Op::Copy(copy) => self.copy(copy, &inputs).await,
            Op::Run(run) => self.run(run, &inputs).await,
        };
        match solved {
            Ok((state, cached)) => {
                session.progress(Event::Ended(self.id, if cached { Ending::Cached } else { Ending::Done }));
                Ok(state)
            }
            Err(trouble) => {
                session.progress(Event::Ended(self.id, Ending::Failed(trouble.error.chain())));
                Err(StepError { node: self.id, span: node.span, error: Arc::new(trouble.error), exit: trouble.exit })
            }
        }
    }

    async fn image(&self, image: &Arc<Image>) -> Result<State> {
        let (host, image) = (Arc::clone(&self.solver.host), Arc::clone(image));
        blocking(move || {
            let lease = host.images().lease(&image);
            let layers = host.images().layer_descriptors(&image)?;
            let diff_ids = image.diff_ids().to_vec();
            let chain = image.chain_ids().last().copied().unwrap_or_else(|| Digest::of(b""));
            Ok(State {
                layers: Arc::new(layers),
                diff_ids: Arc::new(diff_ids),
                chain,
                created: image.document.created.clone(),
                key: None,
                added: false,
                unsynced: Arc::default(),
                held: Arc::new(Held { _lease: Some(lease), _pin: None }),
            })
        })
        .await
    }

    /// Looks the key up; otherwise does the work when it is this build's turn, and notes what came of it.
    async fn cached<W>(&self, below: &State, key: Digest, work: W) -> Result<(State, bool), Trouble>
    where
        W: std::future::Future<Output = std::result::Result<(Option<BuiltLayer>, Lease), Trouble>>,
    {
        let node = &self.nodes[self.id];
        let _turn = self.solver.cache.turn(&key).await;
        if !node.no_cache
            && let Some((record, pin)) = self.solver.cache.find(&key)
        {
            let layer = record.layer.map(BuiltLayer::from);
            if layer.is_none_or(|layer| self.is_present(&layer)) {
                return Ok((below.with(layer, &record, Some(pin), None), true));
            }
            drop(pin);
            self.solver.cache.forget(&key);
        }
        let (layer, lease) = work.await?;
        let created = now();
        let record = Record {
            key,
            kind: RecordKind::Step,
            parent: below.key,
            layer: layer.map(Into::into),
            description: node.name.clone(),
            used: created.clone(),
            created,
            uses: 0,
            folder: None,
            unsynced_boot: layer.map(|_| self.solver.boot.clone()),
        };
        let own = layer.map(|layer| {
            let mut own = self.solver.host.images().begin();
            own.hold(layer.diff_id);
            own
        });
        let pin = self.solver.cache.put(record.clone(), own);
        Ok((below.with(layer, &record, Some(pin), Some(lease)), false))
    }

    /// Files could only be missing if someone took them away by hand.
    fn is_present(&self, layer: &BuiltLayer) -> bool {
        let store = self.solver.host.images();
        store.layers().has(&layer.diff_id)
    }
}

impl State {
    fn scratch() -> Self {
        Self {
            layers: Arc::default(),
            diff_ids: Arc::default(),
            chain: Digest::of(b""),
            created: None,
            key: None,
            added: false,
            unsynced: Arc::default(),
            held: Arc::new(Held { _lease: None, _pin: None }),
        }
    }

    fn with(&self, layer: Option<BuiltLayer>, record: &Record, pin: Option<Pin>, lease: Option<Lease>) -> Self {
        let mut next = self.clone();
        next.created = Some(record.created.clone());
        next.key = Some(record.key);
        next.added = layer.is_some();
        next.held = Arc::new(Held { _lease: lease, _pin: pin });
        if let Some(layer) = layer {
            Arc::make_mut(&mut next.layers).push(layer.descriptor());
            Arc::make_mut(&mut next.diff_ids).push(layer.diff_id);
            next.chain = match self.diff_ids.is_empty() {
                true => layer.diff_id,
                false => Digest::of(format!("{} {}", self.chain, layer.diff_id).as_bytes()),
            };
        }
        if record.unsynced_boot.is_some() {
            Arc::make_mut(&mut next.unsynced).push(record.key);
        }
        next
    }

    /// Layer folders for overlay, topmost first.
    fn stack(&self, store: &ImageStore) -> Vec<PathBuf> {
        store.layers().stack(&self.diff_ids)
    }
}

/// A key: a digest of everything that makes a step what it is.
fn key(parts: &impl Serialize) -> Result<Digest> {
    let json =
        serde_json::to_vec(&(VERSION, parts)).map_err(|error| Error::system("cannot write a key").caused_by(error))?;
    Ok(Digest::of(&json))
}

/// Runs what may block elsewhere.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::system("a build's worker failed").caused_by(error)))
}

impl StepError {
    /// As the Engine API says it.
    pub fn to_error(&self) -> Error {
        Error::new(self.error.kind(), self.error.chain())
    }
}
