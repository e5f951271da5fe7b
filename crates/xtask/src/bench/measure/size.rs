//! The size of the binary.

use anyhow::Result;

use super::Setting;
use crate::bench::report::{Promise, Row};

/// One row.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let mut row = Row::new("size of the binary", "MB", Some(Promise::Limit(25.0)));
    row.add("wharf", vec![std::fs::metadata(&setting.binary)?.len() as f64 / 1e6]);
    Ok(vec![row])
}
