//! From the flags of `run` and `create` to the request that the engine gets.

pub mod flags;
pub mod host_config;
mod networks;
pub mod request;
