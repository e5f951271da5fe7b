//! The process that stands beside each running container: stdio, log, exit status, exec.
//!
//! ```text
//!              requests, events (protocol.rs)
//!   engine ◄───────────────────────────────► monitor ── clone ──► container's first process, execs
//!      │                                        ▲  │
//!      └── passes each client's own socket ─────┘  └── log file, exit.json
//! ```
//!
//! The engine's side is [`handle`]; [`log`] reads logs back. The monitor itself is [`main`]: one thread, one epoll set, no
//! asynchronous runtime. It outlives the engine.

mod client;
mod connection;
mod detach;
mod dns;
mod end;
mod exit;
pub mod handle;
mod health;
mod launch;
mod listener;
pub mod log;
mod memory;
mod monitor;
mod poll;
mod process;
pub mod protocol;
mod readiness;
mod relay;
mod requests;
mod session;
mod start;
mod stdin;
mod stdio;
mod wire;

pub use exit::read_exit;
pub use handle::{Events, Handle, Newborn, Reserve};
pub use process::{NAME, main};
