//! wip
mod template;
fn main() {}
