//! wharf as an OCI runtime: bundles (runtime-spec 1.2), containers that outlive the process which made them, and their
//! state in a folder.
//!
//! ```text
//! create ─► the first process waits at its gate (start.sock) ─► start ─► running ⇄ paused ─► stopped ─► delete
//! ```
//!
//! Nothing runs beside the container: what is known about it is `state.json` in its folder, written aside and renamed, and
//! what the kernel says. Whoever changes a container holds the lock on its folder.

mod cgroup_path;
pub mod config;
mod convert;
pub mod features;
pub mod hooks;
mod lifecycle;
mod mounts;
mod process;
mod resources;
pub mod state;
pub mod template;

pub use lifecycle::{Created, ExecRequest, Manner, create, delete, exec, kill, start};
pub use resources::resources;
pub use state::{Container, Status, Store};
