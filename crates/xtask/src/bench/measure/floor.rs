//! The floor in all its variants, for information: what each part of a container costs the kernel.

use anyhow::Result;

use super::Setting;
use super::run::rootfs;
use crate::bench::floor::{self, Bridge, Network};
use crate::bench::report::Row;

const VARIANTS: [(&str, Network); 3] = [
    ("no network namespace", Network::Host),
    ("network namespace, loopback up", Network::Loopback),
    ("veth pair, bridge, address, route", Network::Veth),
];

/// A row for each variant, without and with cgroups.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let folder = rootfs()?;
    let bridge = Bridge::new()?;
    let mut values = vec![Vec::new(); VARIANTS.len() * 2];
    for _ in 0..setting.rounds(20) {
        for (number, values) in values.iter_mut().enumerate() {
            let (_, network) = VARIANTS[number / 2];
            values.extend(floor::measure(folder.path(), network, number % 2 == 1, bridge.name(), 3)?);
        }
    }
    let cgroups = wharf_testkit::census::hierarchies().len();
    let rows = values.into_iter().enumerate().map(|(number, values)| {
        let (what, _) = VARIANTS[number / 2];
        let groups = if number % 2 == 1 { format!(", {cgroups} cgroups") } else { String::new() };
        let mut row = Row::new(format!("floor: {what}{groups}"), "ms", None);
        row.add("floor", values);
        row
    });
    Ok(rows.collect())
}
