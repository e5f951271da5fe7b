//! `ADD` of archives.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{BorrowedFd, OwnedFd};

use wharf_storage::decompress;
use wharf_storage::tar::{self, Limits};
use wharf_types::{Result, ResultExt};

use super::owner::Owner;

/// The size of a header of a tar archive in bytes.
const BLOCK: usize = 512;

/// Whether a file is a tar archive, compressed or not; judged by its beginning, not by its name.
///
/// # Errors
/// Those of reading.
pub fn is_archive(file: &OwnedFd) -> Result<bool> {
    let mut file = File::from(file.try_clone().context("cannot copy a descriptor")?);
    let mut header = Vec::new();
    let copy = file.try_clone().context("cannot copy a descriptor")?;
    if let Ok((_, stream)) = decompress(copy) {
        // What cannot be decompressed is no archive.
        let _unreadable = stream.take(BLOCK as u64).read_to_end(&mut header);
    }
    file.rewind().context("cannot read the archive")?;
    Ok(header.len() == BLOCK && has_checksum(&header))
}

/// The checksum of a header is the sum of its bytes with its own field as blanks (POSIX, ustar).
fn has_checksum(header: &[u8]) -> bool {
    let field = &header[148..156];
    let text: String = field.iter().map(|b| *b as char).collect();
    let Ok(expected) = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) else { return false };
    let sum = |bytes: &[u8]| bytes.iter().map(|b| u32::from(*b)).sum::<u32>();
    expected != 0 && expected == sum(&header[..148]) + 8 * u32::from(b' ') + sum(&header[156..])
}

/// Unpacks into a folder; what is unpacked belongs to `owner` if there is one.
///
/// # Errors
/// `Corrupt` for a broken archive, and those of the file system.
pub(super) fn unpack(file: OwnedFd, into: BorrowedFd<'_>, owner: Option<Owner>) -> Result<()> {
    let (_, stream) = decompress(File::from(file))?;
    let owner = owner.map(|owner| (owner.uid, owner.gid));
    tar::extract_as(stream, into, &Limits::default(), owner).context("cannot unpack the archive")
}
