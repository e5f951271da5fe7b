//! Both sides of the OCI distribution specification 1.1: the client that moves images, and a registry of one's own.
//!
//! The two know nothing of each other but the wire; they are tested against each other and against foreign ones.

pub mod client;
pub mod server;
