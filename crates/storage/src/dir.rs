//! Work on directory trees by descriptor only.

/// How much a tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of the regular files in bytes; a file with several links counts once.
    pub bytes: u64,
    /// Space taken on disk in bytes, folders included.
    pub disk: u64,
    /// Number of inodes.
    pub inodes: u64,
}
