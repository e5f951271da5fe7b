//! Manifests and indexes in registries.

pub mod create;
pub mod inspect;
