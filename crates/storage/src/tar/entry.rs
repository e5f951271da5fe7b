//! The entries of a tar stream, as data.

use wharf_types::Result;

use super::place::Place;

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// One more name of an earlier entry: [`Entry::link`].
    HardLink,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry of a tar stream, as the stream has it: nothing here may be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Where a link points.
    pub link: Vec<u8>,
    /// The lowest twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// The size of a regular file in bytes, holes included.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The pieces of a sparse file, as offset and length in bytes; [`crate::tar::Reader::data`] gives only these.
    pub sparse: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// An entry that belongs to root, of 1970, without permissions, size or attributes.
    pub fn new(path: impl AsRef<[u8]>, kind: EntryKind) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            kind,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// The name for messages.
    pub fn name(&self) -> String {
        printable(&self.path)
    }
}

/// Reads an archive's name as if the archive were `/`: no leading or double slash, no `.` and `..`; empty for the root.
///
/// # Errors
/// `InvalidParameter` when `..` leads out of the archive, or the name is too long.
pub fn clean_path(path: &[u8]) -> Result<Vec<u8>> {
    let place = Place::of(path)?;
    Ok(if place.name.is_some() { place.path().into_bytes() } else { Default::default() })
}

/// Bytes of an archive in a form that no terminal takes for commands.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text: String = bytes.escape_ascii().take(300).map(char::from).collect();
    if let Ok(utf8) = std::str::from_utf8(bytes)
        && !utf8.chars().any(char::is_control)
    {
        text = utf8.chars().take(300).collect();
    }
    text
}
