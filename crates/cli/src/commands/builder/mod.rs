//! Commands about builds.

pub mod build;
pub mod du;
pub mod limits;
pub mod prune;
