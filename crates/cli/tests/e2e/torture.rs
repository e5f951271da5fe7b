//! The short form of `cargo xtask torture`.

use wharf_testkit::Options;
use wharf_testkit::torture::{Plan, run};

#[test]
fn what_was_acknowledged_outlives_kills_under_load() {
    let plan = Plan { kills: 12, workers: 3, longest: 150, seed: 7 };
    let report = run(plan, Options::default(), &mut |_| ());
    assert!(report.acknowledged > 12 && report.censuses > 0, "next to nothing was done: {report:?}");
}
