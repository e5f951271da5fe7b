//! Writing netlink requests.

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Marks an attribute that contains attributes (`NLA_F_NESTED`).
const NESTED: u16 = 1 << 15;

/// One or more netlink messages in one buffer, sent by one system call.
///
/// Sequence numbers count from 1 in the order of [`Request::begin`].
#[derive(Debug, Default)]
pub(crate) struct Request {
    buffer: Vec<u8>,
    start: usize,
    count: u32,
}

impl Request {
    /// An empty request; the capacity holds what one container needs.
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::with_capacity(1024), start: 0, count: 0 }
    }

    /// Starts the next message and returns its sequence number.
    pub(crate) fn begin(&mut self, kind: u16, flags: i32) -> u32 {
        self.finish();
        self.start = self.buffer.len();
        self.count += 1;
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(&(flags as u16 | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.buffer.extend_from_slice(&self.count.to_ne_bytes());
        self.buffer.extend_from_slice(&[0; 4]);
        self.count
    }

    /// Asks for an acknowledgement of the message begun last.
    pub(crate) fn acknowledge(&mut self) {
        self.buffer[self.start + 6] |= libc::NLM_F_ACK as u8;
    }

    /// Appends the family's fixed header, whose length is a multiple of four.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        debug_assert_eq!(bytes.len() % 4, 0);
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends a string with its final zero.
    pub(crate) fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        self.buffer.extend_from_slice(&((value.len() + 5) as u16).to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.push(0);
        self.pad();
        self
    }

    /// Appends a number in the host's byte order, as rtnetlink has it.
    pub(crate) fn host32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network byte order, as nfnetlink has it.
    pub(crate) fn net32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Appends an attribute that consists of the attributes which `fill` writes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self) -> &mut Self) -> &mut Self {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = (self.buffer.len() - start) as u16;
        self.buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Number of messages.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The finished buffer.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if self.count > 0 {
            let length = (self.buffer.len() - self.start) as u32;
            debug_assert!(length as usize >= HEADER);
            self.buffer[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
        }
        &self.buffer
    }

    fn pad(&mut self) {
        self.buffer.resize(self.buffer.len().next_multiple_of(4), 0);
    }
}
