//! The system calls of wharf: the only crate with unsafe code.
