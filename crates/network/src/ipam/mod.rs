//! Address management: pure data, no I/O.

mod allocator;
mod pool;
#[cfg(test)]
mod tests;

pub use allocator::Allocator;
pub use pool::{AddressPool, choose_subnet, default_pools};
