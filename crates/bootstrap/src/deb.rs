//! Debian package files: an `ar` archive of a control and a data tar (deb(5)).

use std::io::{Cursor, Read};
use tar::EntryType;
use wharf_types::{Error, Result};

/// A package file taken apart.
#[derive(Debug)]
pub struct Deb {
    /// The text of the file `control`.
    pub control: String,
    /// The other control files: maintainer scripts, `md5sums`, `conffiles`, `triggers` and so on.
    pub files: Vec<ControlFile>,
    /// The root file system's part, an uncompressed tar.
    pub data: Vec<u8>,
}

/// One of the control files.
#[derive(Debug)]
pub struct ControlFile {
    /// Its name, without a folder.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    pub content: Vec<u8>,
}

impl Deb {
    /// Takes a package apart; `name` is for messages only.
    pub fn parse(content: &[u8], name: &str) -> Result<Self> {
        let broken = |reason: &str| Error::corrupt(format!("the package {name} is malformed: {reason}"));
        let members = ar_members(content).map_err(&broken)?;
        match members.first() {
            Some(("debian-binary", version)) if version.starts_with(b"2.") => {}
            _ => return Err(broken("it is no Debian package of format 2")),
        }
        let find = |prefix: &str| {
            let found = members.iter().find(|(member, _)| {
                member.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            found.ok_or_else(|| broken(&format!("it has no {prefix}")))
        };
        let (control, data) = (find("control.tar")?, find("data.tar")?);
        let unpack = |member: &(&str, &[u8])| {
            decompress(member.0, member.1).map_err(|error| broken("its data cannot be decompressed").caused_by(error))
        };
        let (control, files) = read_control(&unpack(control)?)
            .map_err(|error| broken("its control files cannot be read").caused_by(error))?;
        let control = control.ok_or_else(|| broken("it has no control file"))?;
        Ok(Self { control, files, data: unpack(data)? })
    }

    /// The content of a control file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.name == name).map(|file| file.content.as_slice())
    }
}

/// The members of an `ar` archive: a magic line, then headers of 60 bytes, each followed by data padded to an even length.
fn ar_members(content: &[u8]) -> Result<Vec<(&str, &[u8])>, &'static str> {
    let mut rest = content.strip_prefix(b"!<arch>\n").ok_or("it is no ar archive")?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (header, tail) = rest.split_at_checked(60).ok_or("it is cut off")?;
        if &header[58..] != b"`\n" {
            return Err("a member's header makes no sense");
        }
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range]).map(str::trim_end).map_err(|_| "a member's name makes no sense")
        };
        let size: usize = text(48..58)?.parse().map_err(|_| "a member's size makes no sense")?;
        let (data, tail) = tail.split_at_checked(size).ok_or("it is cut off")?;
        members.push((text(0..16)?.trim_end_matches('/'), data));
        rest = if size % 2 == 1 { tail.get(1..).unwrap_or_default() } else { tail };
    }
    Ok(members)
}

fn decompress(name: &str, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "tar" => plain.extend_from_slice(data),
        "gz" => drop(flate2::read::MultiGzDecoder::new(data).read_to_end(&mut plain)?),
        "xz" => drop(liblzma::read::XzDecoder::new_multi_decoder(data).read_to_end(&mut plain)?),
        "zst" => drop(zstd::stream::read::Decoder::with_buffer(data)?.read_to_end(&mut plain)?),
        other => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::Unsupported,
                format!("compression '{other}' is not known"),
            ));
        }
    }
    Ok(plain)
}

/// Decompresses an index by the ending of its name.
pub fn decompress_index(name: &str, data: &[u8]) -> Result<String> {
    let broken = |reason: &str| Error::corrupt(format!("the package index {name} is malformed: {reason}"));
    let plain = decompress(name, data).map_err(|error| broken("it cannot be decompressed").caused_by(error))?;
    String::from_utf8(plain).map_err(|_| broken("it is no UTF-8 text"))
}

fn read_control(tar: &[u8]) -> std::io::Result<(Option<String>, Vec<ControlFile>)> {
    let (mut control, mut files) = (None, Vec::new());
    for entry in tar::Archive::new(Cursor::new(tar)).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let invalid = || std::io::Error::new(std::io::ErrorKind::InvalidData, "a control file's name makes no sense");
        let name = std::str::from_utf8(&entry.path_bytes()).map_err(|_| invalid())?.trim_start_matches("./").to_owned();
        if name.is_empty() || name.contains('/') {
            return Err(invalid());
        }
        let mode = entry.header().mode()? & 0o777;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        match name.as_str() {
            "control" => control = Some(String::from_utf8(content).map_err(|_| invalid())?),
            _ => files.push(ControlFile { name, mode, content }),
        }
    }
    Ok((control, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DebBuilder;
    use proptest::prelude::*;

    fn sample(compression: &str) -> Vec<u8> {
        DebBuilder::new("a", "1")
            .script("postinst", "#!/bin/sh\n")
            .file("./usr/bin/a", "hello")
            .compression(compression)
            .build()
    }

    #[test]
    fn reads_every_compression() {
        for compression in ["", "gz", "xz", "zst"] {
            let deb = Deb::parse(&sample(compression), "a").unwrap();
            assert!(deb.control.starts_with("Package: a\n"));
            assert_eq!(deb.file("postinst"), Some(&b"#!/bin/sh\n"[..]));
            assert_eq!(deb.files[0].mode, 0o755);
            let names: Vec<_> = tar::Archive::new(&deb.data[..])
                .entries()
                .unwrap()
                .map(|e| e.unwrap().path().unwrap().into_owned())
                .collect();
            assert!(names.contains(&"./usr/bin/a".into()), "{names:?}");
        }
    }

    #[test]
    fn refuses_what_is_cut_off_or_garbled() {
        let good = sample("xz");
        for end in (0..good.len()).step_by(7).filter(|end| good.len() - end > 1) {
            assert!(Deb::parse(&good[..end], "a").is_err(), "cut at {end} of {}", good.len());
        }
        let error = Deb::parse(b"#!/bin/sh", "a").unwrap_err();
        assert!(error.to_string().contains("the package a is malformed: it is no ar archive"), "{error:?}");
        assert!(Deb::parse(&sample("bz2"), "a").unwrap_err().chain().contains("compression 'bz2' is not known"));
        let mut wrong = good;
        wrong[8 + 58] = b'x';
        assert!(Deb::parse(&wrong, "a").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn never_panics_on_flipped_bytes(at in 0usize..1000, value in any::<u8>()) {
            let mut bytes = sample("gz");
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Deb::parse(&bytes, "a");
        }
    }
}
