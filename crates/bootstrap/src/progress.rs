//! How far the work has come, for whoever shows it.

/// Told about every step; called from several threads.
pub trait Progress: Send + Sync {
    /// Something has happened.
    fn report(&self, event: Event<'_>);
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A phase begins; the one before it is over.
    Begin(Phase),
    /// The present phase has come this far.
    Advance {
        /// The present phase.
        phase: Phase,
        /// What is done.
        done: u64,
        /// What there is to do; 0 when nobody knows.
        total: u64,
    },
    /// A sentence worth showing, such as which mirror is used.
    Note(&'a str),
}

/// The phases in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Fetching and verifying the repository's Release files and indices.
    Index,
    /// Fetching packages; counted in bytes.
    Download,
    /// Merging the packages into a root file system; counted in packages.
    Unpack,
    /// Configuring the packages in a container; counted in packages.
    Configure,
    /// Importing the result; counted in bytes, of which nobody knows the total.
    Import,
}

/// Shows nothing.
impl Progress for () {
    fn report(&self, _event: Event<'_>) {}
}
