//! Descriptors that tokio waits for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has tokio wait until `fd`, which must not block, is ready.
#[expect(
    deprecated,
    reason = "the successor is unsafe for the sake of types that lie about their descriptor; OwnedFd does not"
)]
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
