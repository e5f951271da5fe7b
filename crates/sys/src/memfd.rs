//! Sealed memory files (memfd_create(2)): immutable data passed to another process by descriptor.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A memory file with `data` that nobody can change any more. `name` is for people who look into /proc.
pub fn sealed(name: &str, data: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(data)?;
    file.seek(SeekFrom::Start(0))?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// The content of a file that was passed by descriptor, from its start.
pub fn read(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(file);
    file.seek(SeekFrom::Start(0))?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut data = Vec::with_capacity(size);
    file.read_to_end(&mut data)?;
    Ok(data)
}
