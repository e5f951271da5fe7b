//! For tests and benchmarks: a temporary engine of one's own, golden images and the census.
//!
//! Everything here runs against the `wharf` program from outside and knows it only by its command line, its socket and
//! the traces it leaves in the kernel; no other crate of the project is linked in. A failure of the kit is a failure of
//! the test that uses it, so most functions panic with a sentence instead of returning an error.

pub mod browser;
pub mod bucket;
pub mod bulk;
pub mod census;
pub mod certificates;
pub mod engine;
pub mod foreign;
pub mod golden;
pub mod http;
pub mod namespace;
pub mod nft;
mod output;
pub mod pty;
pub mod registry;
pub mod served;
pub mod subnet;
pub mod sweep;
pub mod torture;
pub mod wait;

pub use engine::{Options, Output, TempEngine};
pub use served::TempRegistry;
