//! What happens, told to everyone who listens, and remembered for a while for those who ask later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use wharf_api::event::{Actor, Message};

/// How many past events are kept for `since`, as Docker keeps.
const REMEMBERED: usize = 256;
/// How far a listener may fall behind before it is given up: it loses its connection, never an event in between.
const QUEUE: usize = 1 << 20;

/// The engine's event bus; clones share it.
#[derive(Clone, Default)]
pub struct Events {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    past: VecDeque<Arc<Message>>,
    listeners: Vec<mpsc::UnboundedSender<Arc<Message>>>,
    /// How many each listener has not read yet, at most.
    waiting: Vec<Arc<AtomicUsize>>,
}

/// What a listener reads; the end means that it was too slow, or that the engine goes down.
pub struct Listener {
    events: mpsc::UnboundedReceiver<Arc<Message>>,
    waiting: Arc<AtomicUsize>,
}

impl Listener {
    /// The next event.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        let message = self.events.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
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
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.past.len() == REMEMBERED {
            inner.past.pop_front();
        }
        inner.past.push_back(Arc::clone(&message));
        let Inner { listeners, waiting, .. } = &mut *inner;
        for at in (0..listeners.len()).rev() {
            let is_slow = waiting[at].fetch_add(1, Ordering::Relaxed) >= QUEUE;
            if is_slow || listeners[at].send(Arc::clone(&message)).is_err() {
                listeners.swap_remove(at);
                waiting.swap_remove(at);
            }
        }
    }

    /// The remembered past, oldest first, and everything from now on, with none lost or doubled in between.
    pub fn subscribe(&self) -> (Vec<Arc<Message>>, Listener) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, events) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        inner.listeners.push(sender);
        inner.waiting.push(Arc::clone(&waiting));
        (inner.past.iter().cloned().collect(), Listener { events, waiting })
    }
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_gets_the_past_and_the_present_once() {
        let events = Events::default();
        events.publish("container", "create", "a", []);
        let (past, mut live) = events.subscribe();
        events.publish("container", "start", "a", []);
        assert_eq!(past.len(), 1);
        assert_eq!(live.next().await.unwrap().action, "start");
        drop(events);
        assert!(live.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_listener_loses_nothing() {
        let events = Events::default();
        let (_, mut live) = events.subscribe();
        (0..20_000).for_each(|number| events.publish("container", &number.to_string(), "a", []));
        for number in 0..20_000 {
            assert_eq!(live.next().await.unwrap().action, number.to_string());
        }
    }
}
