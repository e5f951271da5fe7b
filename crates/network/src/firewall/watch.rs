//! Noticing that somebody else changed the table.

use std::os::fd::{AsFd, BorrowedFd};

use wharf_types::Result;

use crate::netlink::{Attributes, Message, Socket, text};

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const NFTABLES: u16 = 10;
/// `NFTA_GEN_PROC_NAME`.
const PROCESS_NAME: u16 = 3;

/// News of changes in one table. Becomes readable when there are any, of whatever table.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    table: String,
    /// Processes of this name take elements away as a matter of course.
    trusted: String,
    /// Whether the transaction whose news are being read took something away.
    taken: bool,
}

impl Watch {
    /// Begins to watch the calling thread's namespace. What processes named `trusted` (at most 15 bytes) take away is no
    /// news.
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn open(table: &str, trusted: &str) -> Result<Watch> {
        let socket = Socket::nftables_news()?;
        Ok(Watch { socket, table: table.to_owned(), trusted: trusted.to_owned(), taken: false })
    }

    /// Reads what has come; true when something may be missing from the table.
    ///
    /// # Errors
    /// `System` when the socket fails.
    pub fn read(&mut self) -> Result<bool> {
        let mut alarm = false;
        let (socket, table, trusted, taken) = (&self.socket, &self.table, &self.trusted, &mut self.taken);
        let complete = socket.read_news(|message| {
            if takes_from(message, table) {
                *taken = true;
            } else if let Some(name) = author(message) {
                // The end of a transaction.
                alarm |= std::mem::take(taken) && name != *trusted;
            }
        })?;
        Ok(alarm || !complete)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn takes_from(message: &Message<'_>, table: &str) -> bool {
    let taking = [
        libc::NFT_MSG_DELTABLE,
        libc::NFT_MSG_DELCHAIN,
        libc::NFT_MSG_DELRULE,
        libc::NFT_MSG_DELSET,
        libc::NFT_MSG_DELSETELEM,
    ];
    let named = || Attributes(message.payload.get(4..).unwrap_or_default()).get(1).map(text);
    taking.iter().any(|kind| is(message, *kind)) && named().as_deref() == Some(table)
}

/// Who made the transaction that ends with this message; `None` for another message.
fn author(message: &Message<'_>) -> Option<String> {
    let attributes = Attributes(message.payload.get(4..).unwrap_or_default());
    is(message, libc::NFT_MSG_NEWGEN).then(|| attributes.get(PROCESS_NAME).map(text).unwrap_or_default())
}

fn is(message: &Message<'_>, kind: i32) -> bool {
    message.kind == (NFTABLES << 8) | kind as u16
}
