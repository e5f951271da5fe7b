//! A monitor in reserve, so that the next start need not wait for a process and a network namespace.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_types::Result;

use super::Newborn;

/// How long a container that was just started has the processors for itself before the next monitor is made.
const BREATH: Duration = Duration::from_millis(4);

/// Makes monitors, one of them in advance. Clones share it; with the last of them the spare monitor ends.
#[derive(Debug, Clone)]
pub struct Reserve {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    executable: OwnedFd,
    room: PathBuf,
    spare: Mutex<Spare>,
}

#[derive(Debug)]
enum Spare {
    None,
    Coming,
    Ready(Newborn),
}

impl Reserve {
    /// No spare monitor yet. For the parameters see [`Newborn::spawn`].
    pub fn new(executable: OwnedFd, room: PathBuf) -> Self {
        Self { inner: Arc::new(Inner { executable, room, spare: Mutex::new(Spare::None) }) }
    }

    /// The spare monitor, or else a new one.
    ///
    /// # Errors
    /// Those of [`Newborn::spawn`].
    pub fn take(&self) -> Result<Newborn> {
        let mut spare = self.inner.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *spare, Spare::None) {
            Spare::Ready(newborn) if newborn.is_alive() => return Ok(newborn),
            Spare::Coming => *spare = Spare::Coming,
            _ => {}
        }
        drop(spare);
        self.inner.spawn()
    }

    /// Makes a spare monitor in the background, if there is none: at once, or when the container that was just started
    /// had some time; with a network namespace if `own_network`, as the next container will probably be like the last.
    pub fn refill(&self, at_once: bool, own_network: bool) {
        {
            let mut spare = self.inner.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(*spare, Spare::None) {
                return;
            }
            *spare = Spare::Coming;
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            if !at_once {
                tokio::time::sleep(BREATH).await;
            }
            inner.refill(own_network);
        });
    }
}

impl Inner {
    fn spawn(&self) -> Result<Newborn> {
        use std::os::fd::AsFd;
        Newborn::spawn(self.executable.as_fd(), &self.room)
    }

    fn refill(&self, own_network: bool) {
        // Without a spare the next start makes its own monitor, and tells what keeps it from that.
        let made = self.spawn().map_or(Spare::None, |newborn| {
            if own_network {
                newborn.prepare();
            }
            Spare::Ready(newborn)
        });
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }
}
