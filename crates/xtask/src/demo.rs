//! `cargo xtask demo`.
use anyhow::Result;
/// x
#[derive(clap::Args, Debug)]
pub struct Arguments {}
pub fn run(_: &Arguments) -> Result<()> {
    Ok(())
}
