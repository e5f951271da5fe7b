//! The server: a registry on a folder or a bucket.
