//! A transaction: many changes that the kernel makes together or not at all.

use super::set::SetSpec;
use super::{Expr, INET, kind};
use crate::netlink::{Refusal, Request, Socket};
use wharf_types::Result;

/// `struct nfgenmsg` of a batch for nftables (`NFNL_SUBSYS_NFTABLES`, big-endian).
const BATCH: [u8; 4] = [0, 0, 0, 10];

/// Where a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    /// `NF_INET_PRE_ROUTING` and so on.
    pub(crate) number: u32,
    /// Order among the chains of a hook, smallest first.
    pub(crate) priority: i32,
}

/// A chain; without a hook it is entered by jumps only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainSpec {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it is attached.
    pub(crate) hook: Option<Hook>,
}

/// One element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// The set.
    pub(crate) set: &'static str,
    /// The key, each part padded to four bytes.
    pub(crate) key: Vec<u8>,
    /// The end of a range, empty for a single key.
    pub(crate) key_end: Vec<u8>,
    /// What the key maps to, empty in a set.
    pub(crate) data: Vec<u8>,
}

/// Changes to one table, collected for one batch.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    table: &'a str,
    request: Request,
    sets: u32,
    rules: usize,
}

impl<'a> Transaction<'a> {
    /// An empty transaction.
    pub(crate) fn new(table: &'a str) -> Self {
        let mut request = Request::new();
        request.begin(libc::NFNL_MSG_BATCH_BEGIN as u16, 0);
        request.fixed(&BATCH);
        Self { table, request, sets: 0, rules: 0 }
    }

    /// Creates the table unless it exists.
    pub(crate) fn add_table(&mut self) {
        self.begin(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE);
    }

    /// Creates the table with these flags (`NFT_TABLE_F_*`), or takes over one that its owner left.
    pub(crate) fn add_table_with(&mut self, flags: u32) {
        let message = self.begin(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE);
        if flags != 0 {
            message.net32(2, flags);
        }
    }

    /// Deletes the table with all that it contains.
    pub(crate) fn delete_table(&mut self) {
        self.begin(libc::NFT_MSG_DELTABLE, 0);
    }

    /// What `nft flush ruleset` does: deletes all tables of all families that belong to no other socket.
    #[cfg(test)]
    pub(crate) fn flush_ruleset(&mut self) {
        self.request.begin(kind(libc::NFT_MSG_DELTABLE), 0);
        self.request.fixed(&[0; 4]);
    }

    /// Creates a chain unless it exists.
    pub(crate) fn add_chain(&mut self, chain: &ChainSpec) {
        let message = self.begin(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE);
        message.string(3, chain.name);
        if let Some(hook) = chain.hook {
            message.nest(4, |h| h.net32(1, hook.number).net32(2, hook.priority as u32));
            message.net32(5, libc::NF_ACCEPT as u32).string(7, hook.kind);
        }
    }

    /// Removes all rules of a chain.
    pub(crate) fn flush_chain(&mut self, chain: &str) {
        self.begin(libc::NFT_MSG_DELRULE, 0).string(2, chain);
    }

    /// Appends a rule to a chain.
    pub(crate) fn add_rule(&mut self, chain: &str, expressions: &[Expr]) {
        self.rules += 1;
        let message = self.begin(libc::NFT_MSG_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND);
        message.string(2, chain);
        message.nest(4, |list| {
            expressions.iter().for_each(|expression| expression.write(list));
            list
        });
    }

    /// How many rules it adds.
    pub(crate) fn rules(&self) -> usize {
        self.rules
    }

    /// Creates a set unless it exists.
    pub(crate) fn add_set(&mut self, set: &SetSpec) {
        self.sets += 1;
        let id = self.sets;
        set.write(self.begin(libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE), id);
    }

    /// Removes all elements of a set.
    pub(crate) fn flush_set(&mut self, set: &str) {
        self.begin(libc::NFT_MSG_DELSETELEM, 0).string(2, set);
    }

    /// Adds an element. With `exclusive` one that exists is refused with EEXIST; without, it is fine when it is the
    /// same.
    pub(crate) fn add_element(&mut self, element: &Element, exclusive: bool) -> u32 {
        let exclusive = if exclusive { libc::NLM_F_EXCL } else { 0 };
        self.element(libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE | exclusive, element)
    }

    /// Deletes an element; a missing one is refused with ENOENT. Returns the message's number, by which refusals name
    /// it.
    pub(crate) fn delete_element(&mut self, element: &Element) -> u32 {
        self.element(libc::NFT_MSG_DELSETELEM, 0, element)
    }

    /// Carries the transaction out. With any refusal nothing has been changed.
    pub(crate) fn commit(mut self, socket: &Socket) -> Result<Vec<Refusal>> {
        let last = self.request.count();
        if last == 1 {
            return Ok(Vec::new());
        }
        self.request.acknowledge();
        self.request.begin(libc::NFNL_MSG_BATCH_END as u16, 0);
        self.request.fixed(&BATCH);
        socket.transact(&mut self.request, last)
    }

    /// Every nftables message begins with the name of its table.
    fn begin(&mut self, message: i32, flags: i32) -> &mut Request {
        self.request.begin(kind(message), flags);
        self.request.fixed(&INET).string(1, self.table)
    }

    fn element(&mut self, message: i32, flags: i32, element: &Element) -> u32 {
        let message = self.begin(message, flags);
        message.string(2, element.set);
        message.nest(3, |list| list.nest(1, |fields| write_element(fields, element)));
        self.request.count()
    }
}

fn write_element<'r>(fields: &'r mut Request, element: &Element) -> &'r mut Request {
    fields.nest(1, |key| key.bytes(1, &element.key));
    if !element.data.is_empty() {
        fields.nest(2, |data| data.bytes(1, &element.data));
    }
    if !element.key_end.is_empty() {
        fields.nest(10, |end| end.bytes(1, &element.key_end));
    }
    fields
}
