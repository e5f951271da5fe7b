//! The native container format: namespaces, cgroups, seccomp, capabilities, mounts. Synchronous, never starts a thread.
//!
//! A container starts in two steps, so that the caller can set up its network while the child mounts its file systems:
//!
//! ```no_run
//! # fn start(spec: &wharf_runtime::spec::ContainerSpec, stdio: wharf_runtime::Stdio) -> wharf_types::Result<()> {
//! use wharf_runtime::Starting;
//!
//! let starting = Starting::begin(spec, stdio)?; // cloned; cgroups are made; the child is mounting
//! let network_namespace_of = starting.pid(); // ... veth, addresses, routes ...
//! let init = starting.release()?; // the program runs
//! let code = init.child.wait()?;
//! init.cgroup.remove()?; // ... tell everyone about the end ...
//! drop(init.mounts); // now there is time to unmount
//! # Ok(())
//! # }
//! ```
//!
//! The calling process must have a single thread: the child is a plain copy of it.

mod birth;
pub mod capabilities;
pub mod cgroup;
mod channel;
mod child;
mod container;
pub mod exec;
mod inside;
mod notify;
pub mod oci;
pub mod paths;
mod ready;
pub mod seccomp;
pub mod spec;
mod stdio;

pub use child::Child;
pub use container::{Init, Pauses, Starting, open_gate};
pub use inside::{has_apparmor, has_selinux, ids_of};
pub use ready::{make_network_namespace, make_user_namespace};
pub use stdio::Stdio;

/// The version of the OCI runtime specification that this follows.
pub const VERSION: &str = "1.2.0";
