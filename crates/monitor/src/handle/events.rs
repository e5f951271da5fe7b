//! What a monitor tells.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use wharf_types::Result;

use super::connection::Connection;
use crate::protocol::{Event, Reply};
use crate::read_exit;

/// The events of one container.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    run_dir: PathBuf,
    early: VecDeque<Event>,
    exited: bool,
    ended: bool,
}

impl Events {
    pub(super) fn new(connection: Connection, run_dir: &Path, early: Vec<Event>) -> Self {
        Self { connection, run_dir: run_dir.to_owned(), early: early.into(), exited: false, ended: false }
    }

    /// The next event; `None` when the monitor has ended, and with it everything that the container had in the kernel.
    ///
    /// Before `None` comes [`Event::Exited`], if need be from the record in the monitor's folder. Where it does not come the monitor
    /// was killed, and what the container left has to be taken down by the engine. Cancellation loses nothing.
    ///
    /// # Errors
    /// The connection or the record cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if let Some(event) = self.early.pop_front() {
            return Ok(Some(self.noted(event)));
        }
        while !self.ended {
            match self.connection.receive().await? {
                Some(Reply::Event(event)) => return Ok(Some(self.noted(event))),
                // The answer to the subscription that was sent along with the start.
                Some(_) => {}
                None => self.ended = true,
            }
        }
        if self.exited {
            return Ok(None);
        }
        let exit = read_exit(&self.run_dir)?;
        Ok(exit.map(|exit| self.noted(Event::Exited(exit))))
    }

    fn noted(&mut self, event: Event) -> Event {
        self.exited |= matches!(event, Event::Exited(_));
        event
    }
}
