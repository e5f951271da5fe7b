//! Registries: logging in and out, and one's own.

pub mod login;
pub mod logout;
pub mod serve;
