//! What happens, told to everyone who listens, and remembered for a while for those who ask later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use wharf_api::event::{Actor, Message};

/// How many past events are kept for `since`, as Docker keeps.
const REMEMBERED: usize = 256;
/// How far a listener may fall behind before it is told that it missed some.
const QUEUE: usize = 4096;

/// The engine's event bus; clones share it.
#[derive(Clone)]
pub struct Events {
    live: broadcast::Sender<Arc<Message>>,
    past: Arc<Mutex<VecDeque<Arc<Message>>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { live: broadcast::channel(QUEUE).0, past: Arc::default() }
    }
}

impl Events {
    /// Tells everyone that `action` happened to the object `id` of type `kind` (`container`, `image`, ...).
    pub fn publish(&self, kind: &str, action: &str, id: &str, attributes: impl IntoIterator<Item = (String, String)>) {
        let now = jiff::Timestamp::now();
        let actor = Actor { id: id.to_owned(), attributes: attributes.into_iter().collect() };
        let message = Arc::new(Message {
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor,
            scope: "local".to_owned(),
            time: now.as_second(),
            time_nano: nanoseconds(now),
            ..Message::default()
        });
        // The past is locked while the message goes out, so that a new listener gets each event exactly once.
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(Arc::clone(&message));
        // Nobody listening is no error.
        drop(self.live.send(message));
    }

    /// The remembered past, oldest first, and everything from now on, with none lost or doubled in between.
    pub fn subscribe(&self) -> (Vec<Arc<Message>>, broadcast::Receiver<Arc<Message>>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.iter().cloned().collect(), self.live.subscribe())
    }
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_gets_the_past_and_the_present_once() {
        let events = Events::default();
        events.publish("container", "create", "a", []);
        let (past, mut live) = events.subscribe();
        events.publish("container", "start", "a", []);
        assert_eq!(past.len(), 1);
        assert_eq!(live.try_recv().unwrap().action, "start");
        assert!(live.try_recv().is_err());
    }
}
