//! `system ...`, and what is about everything.

pub mod certificates;
pub mod check;
pub mod completion;
pub mod df;
pub mod dial_stdio;
pub mod doctor;
pub mod events;
pub mod info;
pub mod inspect;
pub mod man;
pub mod prune;
pub mod version;
