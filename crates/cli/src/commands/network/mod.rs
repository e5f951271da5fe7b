//! `network ...`.

pub mod inspect;
pub mod ls;
