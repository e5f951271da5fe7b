//! The Rust SDK for the Docker Engine API.
