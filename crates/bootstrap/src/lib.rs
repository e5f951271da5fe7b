//! Makes a Debian base image from packages, without any registry.
//!
//! The packages come from a mirror, whose signature is verified; the root file system is put together as a tar
//! stream, so that nothing is ever unpacked or run on the host; an engine imports it, configures the packages in a
//! container, and imports the result as the image.

mod build;
mod clearsign;
mod configure;
mod deb;
mod deb822;
mod download;
mod dpkg;
mod engine;
mod export;
mod fetch;
#[cfg(test)]
mod flow_tests;
mod image;
mod index;
mod keyring;
mod layout;
mod mirror;
mod options;
mod pipe;
mod plan;
mod progress;
mod relation;
mod release;
mod repository;
mod resolve;
mod rootfs;
mod sources;
mod target;
#[cfg(test)]
mod test_mirror;
#[cfg(test)]
mod testing;
mod version;

pub use build::{Outcome, Timings, bootstrap};
pub use options::{Options, Proxies, Refresh, Suite};
pub use progress::{Event, Phase, Progress};
pub use target::{ByteStream, ContainerRequest, ExistingImage, ImportRequest, Target};

pub(crate) fn cancelled() -> wharf_types::Error {
    wharf_types::Error::unavailable("interrupted")
        .with_hint("nothing is left behind; downloads are kept for the next time")
}
