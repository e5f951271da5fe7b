//! Waiting for something that happens on its own, with an end to the patience.

use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine with slow processors before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it gives a value.
///
/// # Panics
/// If [`PATIENCE`] ends first; the message names `what`.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, probe).unwrap_or_else(|| panic!("waited {}s in vain: {what}", PATIENCE.as_secs()))
}

/// Asks `probe` until it gives a value or the time is over.
pub fn within<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
