//! What a build tells while it runs, for whoever shows it.

use crate::dockerfile::Span;
use crate::host::Stream;
use crate::plan::NodeId;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// What will be done is known.
    Planned {
        /// The steps' names, by number; empty for one that is not needed.
        steps: Vec<String>,
    },
    /// A step has begun.
    Started(NodeId),
    /// A step wrote something.
    Output(NodeId, Stream, Vec<u8>),
    /// A step has ended.
    Ended(NodeId, Ending),
    /// Something beside the steps has begun: loading, exporting.
    Task {
        /// Its name; the same ends it.
        name: String,
        /// Whether it has ended.
        done: bool,
    },
    /// A lint rule found something.
    Warning {
        /// The rule.
        rule: String,
        /// What it found.
        message: String,
        /// Where.
        span: Span,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was run.
    Done,
    /// It had been run before.
    Cached,
    /// It failed, and why.
    Failed(String),
}
