//! The native container format: namespaces, cgroups, seccomp, capabilities, mounts. Synchronous, never starts a thread.

pub mod spec;
