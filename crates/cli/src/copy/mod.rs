//! Copying between the host's file system and the tar archives that engines take and give.

pub mod extract;
pub mod pack;
