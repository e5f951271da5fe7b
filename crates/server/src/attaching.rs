//! Clients that are about to attach.
//!
//! A client attaches, sees the answer, and starts the container over another connection at once. The start must not
//! overtake the attaching, or the first output would be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use wharf_types::Id;

/// How many clients are on their way to each container.
#[derive(Clone, Default)]
pub(crate) struct Attaching(Arc<Mutex<HashMap<Id, watch::Sender<usize>>>>);

/// One client on its way; it has arrived, or given up, when this is dropped.
pub(crate) struct OnTheWay {
    container: Id,
    all: Attaching,
}

impl Attaching {
    /// Takes note of a client.
    pub(crate) fn begin(&self, container: Id) -> OnTheWay {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.entry(container).or_default().send_modify(|count| *count += 1);
        OnTheWay { container, all: self.clone() }
    }

    /// Waits until nobody is on the way to this container.
    pub(crate) async fn settled(&self, container: Id) {
        let receiver = {
            let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            table.get(&container).map(watch::Sender::subscribe)
        };
        if let Some(mut receiver) = receiver {
            // A sender that is gone has nobody on the way either.
            drop(receiver.wait_for(|count| *count == 0).await);
        }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        let mut table = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = table.get(&self.container) {
            sender.send_modify(|count| *count -= 1);
            if *sender.borrow() == 0 {
                table.remove(&self.container);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_start_waits_for_those_on_the_way() {
        let (all, id) = (Attaching::default(), Id::from_random([1; 32]));
        assert!(all.settled(id).now_or_never().is_some());
        let (one, two) = (all.begin(id), all.begin(id));
        drop(one);
        let mut waiting = Box::pin(all.settled(id));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(two);
        waiting.await;
        assert!(all.0.lock().unwrap().is_empty());
    }
}
