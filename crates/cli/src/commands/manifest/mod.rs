//! Manifests and indexes in registries.

pub mod create;
pub mod draft;
pub mod inspect;
