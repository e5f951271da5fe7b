//! Reading netlink messages: never out of bounds, whatever the bytes.

/// One message of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    /// `nlmsg_flags`.
    pub(crate) flags: u16,
    /// `nlmsg_seq`.
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// The messages of a buffer; ends at the first malformed one.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Reader<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.0, 0)? as usize;
        let payload = self.0.get(16..length)?;
        let message =
            Message { kind: u16_at(self.0, 4)?, flags: u16_at(self.0, 6)?, sequence: u32_at(self.0, 8)?, payload };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes as (type without flags, value); ends at the first malformed one.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this type.
    pub(crate) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find(|attribute| attribute.0 == kind).map(|(_, value)| value)
    }

    /// The attributes nested in the first attribute of this type; none when it is missing.
    pub(crate) fn nested(&self, kind: u16) -> Attributes<'a> {
        Attributes(self.get(kind).unwrap_or_default())
    }

    /// A number in the host's byte order.
    pub(crate) fn host32(&self, kind: u16) -> Option<u32> {
        u32_at(self.get(kind)?, 0)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A string attribute up to its final zero.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Request;
    use super::*;

    #[derive(Debug, Clone)]
    enum Tree {
        Leaf(u16, Vec<u8>),
        Nest(u16, Vec<Tree>),
    }

    fn write(request: &mut Request, tree: &Tree) {
        match tree {
            Tree::Leaf(kind, value) => {
                request.bytes(*kind, value);
            }
            Tree::Nest(kind, children) => {
                request.nest(*kind, |inner| {
                    children.iter().for_each(|child| write(inner, child));
                    inner
                });
            }
        }
    }

    fn same(tree: &Tree, kind: u16, value: &[u8]) -> bool {
        match tree {
            Tree::Leaf(wanted, bytes) => *wanted == kind && bytes == value,
            Tree::Nest(wanted, children) => *wanted == kind && all_same(children, value),
        }
    }

    fn all_same(trees: &[Tree], bytes: &[u8]) -> bool {
        let read: Vec<_> = Attributes(bytes).collect();
        read.len() == trees.len() && trees.iter().zip(read).all(|(tree, (kind, value))| same(tree, kind, value))
    }

    fn trees() -> impl Strategy<Value = Vec<Tree>> {
        let kind = 0..0x3fff_u16;
        let leaf = (kind.clone(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(k, v)| Tree::Leaf(k, v));
        let tree = leaf.prop_recursive(3, 24, 4, move |inner| {
            (kind.clone(), prop::collection::vec(inner, 0..4)).prop_map(|(k, v)| Tree::Nest(k, v))
        });
        prop::collection::vec(tree, 0..6)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(first in trees(), second in trees()) {
            let mut request = Request::new();
            for trees in [&first, &second] {
                request.begin(7, libc::NLM_F_ACK);
                request.fixed(&[1, 2, 3, 4]);
                trees.iter().for_each(|tree| write(&mut request, tree));
            }
            let messages: Vec<_> = Reader(request.finish()).collect();
            prop_assert_eq!(messages.len(), 2);
            for (number, (message, trees)) in messages.iter().zip([&first, &second]).enumerate() {
                prop_assert_eq!((message.kind, message.sequence), (7, number as u32 + 1));
                prop_assert!(all_same(trees, &message.payload[4..]));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in Reader(&bytes) {
                Attributes(message.payload).for_each(|(_, value)| drop(text(value)));
            }
            Attributes(&bytes).for_each(|(_, value)| {
                Attributes(value).count();
            });
        }
    }
}
