//! x
pub mod floor;
use anyhow::Result;
/// x
#[derive(clap::Args, Debug)]
pub struct Arguments {}
pub fn run(_: &Arguments) -> Result<()> {
    let dir = std::path::PathBuf::from("/tmp/xt/floor");
    let b = floor::Bridge::new()?;
    for (n, c) in [(floor::Network::Host,false),(floor::Network::Host,true),(floor::Network::Loopback,false),(floor::Network::Veth,false),(floor::Network::Veth,true)] {
        let mut t = floor::measure(&dir, n, c, b.name(), 40)?;
        t.sort_by(f64::total_cmp);
        println!("{n:?} {c} median {:.2} min {:.2}", t[20], t[0]);
    }
    Ok(())
}
