//! Writing a tar stream: ustar headers, with a PAX header before those that ustar cannot say.

use std::io::{self, Read, Write};

use super::entry::{Entry, EntryKind};
use super::header::{BLOCK, Fields, MAX_ID, MAX_NAME, MAX_SIZE};
use super::pax::{XATTR, write_record};

/// How much file data is copied at once, in bytes.
const BUFFER: usize = 128 * 1024;

/// Writes entries one after the other. Times are written in whole seconds, as Docker does.
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// A writer at the start of a stream.
    pub fn new(out: W) -> Self {
        Self { out, buffer: Vec::new() }
    }

    /// Writes an entry without data.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.header(entry, 0)
    }

    /// Writes a regular file of [`Entry::size`] bytes. Where `data` ends early, zeros fill the rest; where it goes
    /// on, the rest is left out: a file that changes while it is read cannot break the stream.
    pub fn append_file(&mut self, entry: &Entry, mut data: impl Read) -> io::Result<()> {
        self.header(entry, entry.size)?;
        self.buffer.resize(BUFFER, 0);
        let mut left = entry.size;
        let mut is_at_end = false;
        while left > 0 {
            let max = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let mut len = if is_at_end { 0 } else { read(&mut data, &mut self.buffer[..max])? };
            if len == 0 {
                is_at_end = true;
                self.buffer[..max].fill(0);
                len = max;
            }
            self.out.write_all(&self.buffer[..len])?;
            left -= len as u64;
        }
        self.pad(entry.size)
    }

    /// Ends the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, entry: &Entry, size: u64) -> io::Result<()> {
        let pax = pax_records(entry, size);
        if !pax.is_empty() {
            let fields = Fields { path: b"PaxHeaders/0", kind: b'x', size: pax.len() as u64, ..fields(entry, 0) };
            let block = Fields { link: b"", mode: 0o644, device: None, uid: 0, gid: 0, mtime: 0, ..fields }.block();
            self.out.write_all(&block)?;
            self.out.write_all(&pax)?;
            self.pad(pax.len() as u64)?;
        }
        self.out.write_all(&fields(entry, size).block())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.out.write_all(&[0; BLOCK][..padding as usize])
    }
}

fn read(data: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match data.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn fields(entry: &Entry, size: u64) -> Fields<'_> {
    let is_device = matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    Fields {
        path: &entry.path,
        link: &entry.link,
        kind: match entry.kind {
            EntryKind::File => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::CharDevice => b'3',
            EntryKind::BlockDevice => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
        },
        mode: entry.mode,
        uid: u64::from(entry.uid),
        gid: u64::from(entry.gid),
        size,
        mtime: entry.mtime.0,
        device: is_device.then_some(entry.device),
    }
}

/// What does not fit into a ustar header.
fn pax_records(entry: &Entry, size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut put = |is_needed: bool, key: &str, value: &[u8]| {
        if is_needed {
            write_record(&mut records, key.as_bytes(), value);
        }
    };
    let does_not_fit = |name: &[u8]| name.len() > MAX_NAME || !name.is_ascii();
    put(does_not_fit(&entry.path), "path", &entry.path);
    put(does_not_fit(&entry.link), "linkpath", &entry.link);
    put(size > MAX_SIZE, "size", size.to_string().as_bytes());
    put(u64::from(entry.uid) > MAX_ID, "uid", entry.uid.to_string().as_bytes());
    put(u64::from(entry.gid) > MAX_ID, "gid", entry.gid.to_string().as_bytes());
    let time_fits = u64::try_from(entry.mtime.0).is_ok_and(|seconds| seconds <= MAX_SIZE);
    put(!time_fits, "mtime", entry.mtime.0.to_string().as_bytes());
    for (name, value) in &entry.xattrs {
        put(true, &format!("{XATTR}{}", String::from_utf8_lossy(name)), value);
    }
    records
}
