//! Files and folders of the host as a tar archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

/// What is packed.
pub struct Source {
    /// The file or folder.
    pub path: PathBuf,
    /// Its name in the archive; `.` for a folder's contents without the folder.
    pub name: String,
    /// Pack what the path leads to where it is a symbolic link.
    pub follow: bool,
}

/// Writes the archive.
pub fn pack(source: &Source, writer: &mut dyn Write) -> io::Result<()> {
    let mut packer = Packer { builder: Builder::new(writer), links: HashMap::new() };
    let meta = if source.follow { fs::metadata(&source.path)? } else { fs::symlink_metadata(&source.path)? };
    packer.add(&source.path, Path::new(&source.name), &meta)?;
    packer.builder.finish()
}

struct Packer<'a> {
    builder: Builder<&'a mut dyn Write>,
    /// Names in the archive of files that have several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Packer<'_> {
    fn add(&mut self, path: &Path, name: &Path, meta: &Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_dir() {
            return self.add_folder(path, name, meta);
        }
        if kind.is_socket() {
            return Ok(()); // an archive cannot hold one
        }
        let mut header = header(meta);
        if meta.nlink() > 1 && kind.is_file() {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                return self.builder.append_link(&mut header, name, first.clone());
            }
            self.links.insert((meta.dev(), meta.ino()), name.to_owned());
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, name, fs::read_link(path)?);
        }
        if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(meta.len());
            // A file that grows meanwhile must not break the archive; one that shrinks does.
            let content = io::Read::take(File::open(path)?, meta.len());
            return self.builder.append_data(&mut header, name, content);
        }
        self.add_special(name, meta, header)
    }

    fn add_special(&mut self, name: &Path, meta: &Metadata, mut header: Header) -> io::Result<()> {
        let kind = meta.file_type();
        header.set_entry_type(match () {
            () if kind.is_fifo() => EntryType::Fifo,
            () if kind.is_char_device() => EntryType::Char,
            () => EntryType::Block,
        });
        if !kind.is_fifo() {
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        self.builder.append_data(&mut header, name, io::empty())
    }

    fn add_folder(&mut self, path: &Path, name: &Path, meta: &Metadata) -> io::Result<()> {
        let mut header = header(meta);
        header.set_entry_type(EntryType::Directory);
        self.builder.append_data(&mut header, folder_name(name), io::empty())?;
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let meta = match entry.path().symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
                other => other?,
            };
            self.add(&entry.path(), &name.join(entry.file_name()), &meta)?;
        }
        Ok(())
    }
}

fn folder_name(name: &Path) -> PathBuf {
    let mut bytes = name.as_os_str().as_bytes().to_vec();
    if !bytes.ends_with(b"/") {
        bytes.push(b'/');
    }
    OsStr::from_bytes(&bytes).into()
}

fn header(meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(meta.uid().into());
    header.set_gid(meta.gid().into());
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}
