//! Logging in to registries and out of them.

pub mod login;
pub mod logout;
