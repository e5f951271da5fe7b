//! `context`: engines by name.

pub mod carry;
pub mod create;
pub mod inspect;
pub mod ls;
pub mod rm;
pub mod select;
