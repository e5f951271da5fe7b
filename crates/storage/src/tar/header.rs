//! One 512-byte block of a tar stream as a header: old V7, ustar (POSIX.1-2001) and GNU.

use std::ops::Range;

/// The unit of a tar stream in bytes.
pub(crate) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// Four entries of a GNU sparse map, then whether more blocks of it follow, then the file's real size.
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;

/// A block that has passed its checksum.
pub(crate) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// `None` when the checksum is wrong, so that the block is no header.
    pub(crate) fn parse(block: &'a [u8; BLOCK]) -> Option<Self> {
        let expected = number(&block[CHECKSUM])?;
        let byte = |(i, b): (usize, &u8)| if CHECKSUM.contains(&i) { b' ' } else { *b };
        let unsigned: i64 = block.iter().enumerate().map(|pair| i64::from(byte(pair))).sum();
        // Some old writers summed signed characters.
        let signed: i64 = block.iter().enumerate().map(|pair| i64::from(byte(pair).cast_signed())).sum();
        (expected == unsigned || expected == signed).then_some(Self(block))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name; only ustar joins it with a prefix, GNU keeps times in that place.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        match text(&self.0[PREFIX]) {
            prefix if self.is_ustar() && !prefix.is_empty() => [prefix, b"/", name].concat(),
            _ => name.to_vec(),
        }
    }

    pub(crate) fn link(&self) -> &'a [u8] {
        text(&self.0[LINK])
    }

    pub(crate) fn mode(&self) -> Option<i64> {
        number(&self.0[MODE])
    }

    pub(crate) fn uid(&self) -> Option<i64> {
        number(&self.0[UID])
    }

    pub(crate) fn gid(&self) -> Option<i64> {
        number(&self.0[GID])
    }

    pub(crate) fn size(&self) -> Option<i64> {
        number(&self.0[SIZE])
    }

    pub(crate) fn mtime(&self) -> Option<i64> {
        number(&self.0[MTIME])
    }

    pub(crate) fn major(&self) -> Option<i64> {
        number(&self.0[MAJOR])
    }

    pub(crate) fn minor(&self) -> Option<i64> {
        number(&self.0[MINOR])
    }

    /// The sparse map that fits into a GNU header.
    pub(crate) fn sparse_map(&self) -> &'a [u8] {
        &self.0[GNU_SPARSE]
    }

    pub(crate) fn sparse_continues(&self) -> bool {
        self.0[GNU_EXTENDED] != 0
    }

    pub(crate) fn sparse_real_size(&self) -> Option<i64> {
        number(&self.0[GNU_REAL_SIZE])
    }

    fn is_ustar(&self) -> bool {
        self.0[MAGIC].starts_with(b"ustar\0")
    }
}

/// Bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

/// An octal number between blanks or NULs, or GNU's base 256 where the first bit is set. Nothing is zero.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !is_blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big endian, with the very first bit as a mark.
fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let start = if negative { -1i64 } else { 0 };
    std::iter::once(first)
        .chain(field[1..].iter().copied())
        .try_fold(start, |value, byte| Some(value.checked_mul(256)?.wrapping_add(i64::from(byte))))
}

/// Builds a ustar header block. Values that do not fit are left zero; a PAX header says them.
pub(crate) struct Fields<'a> {
    pub path: &'a [u8],
    pub link: &'a [u8],
    pub kind: u8,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: i64,
    pub device: Option<(u32, u32)>,
}

/// The longest path and link name that a ustar header takes here, in bytes.
pub(crate) const MAX_NAME: usize = 100;
/// The largest owner id in seven octal digits.
pub(crate) const MAX_ID: u64 = 0o7_777_777;
/// The largest size and time in eleven octal digits.
pub(crate) const MAX_SIZE: u64 = 0o77_777_777_777;

impl Fields<'_> {
    pub(crate) fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put_text(&mut block[NAME], self.path);
        put_text(&mut block[LINK], self.link);
        put_octal(&mut block[MODE], u64::from(self.mode));
        put_octal(&mut block[UID], self.uid);
        put_octal(&mut block[GID], self.gid);
        put_octal(&mut block[SIZE], self.size);
        put_octal(&mut block[MTIME], u64::try_from(self.mtime).unwrap_or(0));
        block[TYPE] = self.kind;
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        let (major, minor) = self.device.unwrap_or_default();
        put_octal(&mut block[MAJOR], u64::from(major));
        put_octal(&mut block[MINOR], u64::from(minor));
        block[CHECKSUM].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        put_octal(&mut block[CHECKSUM.start..CHECKSUM.end - 1], sum);
        block
    }
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// Octal digits that fill the field but for a final NUL; zero where the value does not fit.
fn put_octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let fits = digits * 3 >= 64 || value >> (digits * 3) == 0;
    let mut rest = if fits { value } else { 0 };
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_spelling() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"    644 ", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"00006x4\0", None),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn a_header_reads_back_what_it_writes() {
        let fields = Fields {
            path: b"a/b",
            link: b"",
            kind: b'0',
            mode: 0o4755,
            uid: 1000,
            gid: MAX_ID,
            size: MAX_SIZE,
            mtime: 1,
            device: Some((8, 1)),
        };
        let mut block = fields.block();
        let header = Header::parse(&block).unwrap();
        assert_eq!(header.path(), b"a/b");
        assert_eq!((header.mode(), header.uid(), header.gid()), (Some(0o4755), Some(1000), Some(0o7_777_777)));
        assert_eq!((header.size(), header.mtime()), (Some(0o77_777_777_777), Some(1)));
        assert_eq!((header.major(), header.minor()), (Some(8), Some(1)));
        block[0] = b'b';
        assert!(Header::parse(&block).is_none());
    }
}
