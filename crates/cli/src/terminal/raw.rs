//! Raw mode: every key goes to the container.

use std::io;
use std::sync::Mutex;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal as it was; restored by whoever comes first: the guard's end, a panic, or a signal.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// While it lives, standard input is raw.
pub struct Raw(());

impl Raw {
    /// Makes standard input raw.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let saved = tcgetattr(&stdin)?;
        let mut raw = saved.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(saved);
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal as it was before [`Raw::enter`]; harmless when nothing is to be restored.
pub fn restore() {
    let saved = SAVED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(saved) = saved {
        // A terminal that is gone needs no mending.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &saved);
    }
}

/// Reads something that nobody shall see as it is typed.
pub fn without_echo<T>(read: impl FnOnce() -> T) -> io::Result<T> {
    let stdin = io::stdin();
    let saved = tcgetattr(&stdin)?;
    let mut hidden = saved.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    *SAVED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(saved);
    tcsetattr(&stdin, OptionalActions::Now, &hidden)?;
    let result = read();
    restore();
    Ok(result)
}

/// Rows and columns of the terminal behind standard output; `None` where there is none.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 || size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}
