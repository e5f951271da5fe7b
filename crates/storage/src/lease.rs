//! Leases: what a running operation or a container needs and collection therefore spares. They live in memory only;
//! after a restart the owner of the records takes them anew before it collects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wharf_types::Digest;

/// The table of all leases of a store. Clones share the table.
#[derive(Clone, Default)]
pub struct Leases(Arc<Mutex<HashMap<Digest, usize>>>);

impl Leases {
    /// A lease on nothing yet.
    pub fn begin(&self) -> Lease {
        Lease { table: self.clone(), held: Vec::new() }
    }

    /// Whether any lease holds this blob or layer.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.table().contains_key(digest)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps blobs (by digest) and layers (by diff id) from collection until it is dropped.
#[must_use = "a lease that is dropped protects nothing"]
pub struct Lease {
    table: Leases,
    held: Vec<Digest>,
}

impl Lease {
    /// Protects one more blob or layer, whether or not it is present yet.
    pub fn hold(&mut self, digest: Digest) {
        *self.table.table().entry(digest).or_default() += 1;
        self.held.push(digest);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut table = self.table.table();
        for digest in &self.held {
            if let Some(count) = table.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    table.remove(digest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lease_frees() {
        let leases = Leases::default();
        let digest = Digest::of(b"a");
        let (mut one, mut two) = (leases.begin(), leases.begin());
        one.hold(digest);
        one.hold(digest);
        two.hold(digest);
        drop(one);
        assert!(leases.holds(&digest));
        drop(two);
        assert!(!leases.holds(&digest));
    }
}
