//! `network ...`.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
mod ipam;
pub mod ls;
pub mod prune;
pub mod rm;
