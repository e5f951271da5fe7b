//! Telling compressed streams apart by their first bytes, and reading them.

use std::io::{self, BufRead, BufReader, Read};

use wharf_types::{Result, ResultExt};

/// How much is read from the source at once.
const BUFFER: usize = 256 * 1024;
/// The largest window that a zstd frame may ask for, as a power of two: 128 MiB, what `zstd --ultra` makes.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The container format of liblzma.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// How many bytes [`Compression::detect`] needs at most.
    const MAGIC_LEN: usize = 6;

    /// Recognises a stream by its first bytes and gives it back whole.
    pub fn peek<R: Read>(stream: R) -> Result<(Self, Peeked<R>)> {
        let (start, rest) = peek(stream).context("cannot read the stream")?;
        Ok((Self::detect(&start), io::Cursor::new(start).chain(rest)))
    }

    /// Recognises a stream by its first bytes.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame (RFC 8878, 3.1.2), as some tools put before the first one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// A stream whose first bytes were looked at.
pub type Peeked<R> = io::Chain<io::Cursor<Vec<u8>>, BufReader<R>>;

/// Finds out how `stream` is compressed and gives the plain bytes. Memory is bounded, whatever the stream says.
pub fn decompress<'a, R: Read + Send + 'a>(stream: R) -> Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let (compression, whole) = Compression::peek(stream)?;
    Ok((compression, reader(compression, whole)?))
}

fn reader<'a, R: BufRead + Send + 'a>(compression: Compression, stream: R) -> Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(stream),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(stream).context("cannot start zstd")?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).context("cannot start zstd")?;
            Box::new(decoder)
        }
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(stream)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
    })
}

/// The first bytes, and a buffered reader of those that follow.
fn peek<R: Read>(mut stream: R) -> io::Result<(Vec<u8>, BufReader<R>)> {
    let mut start = Vec::with_capacity(Compression::MAGIC_LEN);
    (&mut stream).take(Compression::MAGIC_LEN as u64).read_to_end(&mut start)?;
    Ok((start, BufReader::with_capacity(BUFFER, stream)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compressed() -> Vec<(Compression, Vec<u8>)> {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(b"some text").unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(b"some text").unwrap();
        vec![
            (Compression::None, b"some text".to_vec()),
            (Compression::Gzip, gzip(b"some text")),
            (Compression::Gzip, [gzip(b"some "), gzip(b"text")].concat()),
            (Compression::Zstd, zstd::encode_all(&b"some text"[..], 1).unwrap()),
            (Compression::Xz, xz.finish().unwrap()),
            (Compression::Bzip2, bzip2.finish().unwrap()),
        ]
    }

    #[test]
    fn every_compression_is_recognised_and_read() {
        for (compression, bytes) in compressed() {
            let (found, mut plain) = decompress(&bytes[..]).unwrap();
            let mut text = String::new();
            plain.read_to_string(&mut text).unwrap();
            assert_eq!((found, text.as_str()), (compression, "some text"));
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for (compression, bytes) in compressed().into_iter().filter(|(c, _)| *c != Compression::None) {
            let (_, mut plain) = decompress(&bytes[..bytes.len() - 1]).unwrap();
            assert!(io::copy(&mut plain, &mut io::sink()).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn short_streams_are_plain() {
        for bytes in [&b""[..], b"\x1f", b"BZ"] {
            assert_eq!(decompress(bytes).unwrap().0, Compression::None);
        }
    }
}
