//! Makes a Debian base image from packages, without any registry.
