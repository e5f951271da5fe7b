//! Signals: forwarded to the container, or the terminal's new size, or the end of this process.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::raw;
use crate::failure::Outcome;

/// Signals that are forwarded to a container without a terminal.
const FORWARDED: [(i32, &str); 8] =
    [(1, "HUP"), (2, "INT"), (3, "QUIT"), (10, "USR1"), (12, "USR2"), (14, "ALRM"), (15, "TERM"), (18, "CONT")];

/// Listens for the signals that are forwarded; from now on they do not end this process.
pub struct Forwarded(Vec<(Signal, &'static str)>);

impl Forwarded {
    /// Begins to listen.
    pub fn listen() -> Outcome<Self> {
        let listen = |(number, name)| Ok((signal(SignalKind::from_raw(number))?, name));
        Ok(Self(FORWARDED.into_iter().map(listen).collect::<std::io::Result<_>>()?))
    }

    /// The next signal's name.
    pub async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            for (signal, name) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// With a raw terminal: restores it and ends this process when it is told to end.
pub async fn restore_and_die() -> Outcome<std::convert::Infallible> {
    let mut fatal = Forwarded(
        [(1, "HUP"), (2, "INT"), (3, "QUIT"), (15, "TERM")]
            .into_iter()
            .map(|(number, name)| Ok((signal(SignalKind::from_raw(number))?, name)))
            .collect::<std::io::Result<_>>()?,
    );
    let name = fatal.next().await;
    raw::restore();
    let number = FORWARDED.iter().find(|(_, n)| *n == name).map_or(15, |(number, _)| *number);
    std::process::exit(128 + number)
}

/// Calls `resize` with the terminal's size now and whenever it changes.
pub async fn follow_size<F: Future<Output = ()>>(mut resize: impl FnMut(u16, u16) -> F) -> Outcome<()> {
    let mut changes = signal(SignalKind::window_change())?;
    loop {
        if let Some((rows, columns)) = raw::size() {
            resize(rows, columns).await;
        }
        if changes.recv().await.is_none() {
            return Ok(());
        }
    }
}
