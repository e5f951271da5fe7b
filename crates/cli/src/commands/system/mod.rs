//! `system ...`, and what is about everything.

pub mod check;
pub mod completion;
pub mod df;
pub mod events;
pub mod info;
pub mod inspect;
pub mod man;
pub mod version;
