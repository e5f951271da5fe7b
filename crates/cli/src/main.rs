//! wip
mod env;
mod failure;
mod grammar;
mod output;
mod template;
fn main() {}
