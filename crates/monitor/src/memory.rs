//! The monitor's own footprint and safety.

use std::fs;

/// Where the OOM killer's adjustment of this process is.
const ADJUSTMENT: &str = "/proc/self/oom_score_adj";

/// Out of the OOM killer's reach, but for the very last.
const PROTECTED: i32 = -999;

/// Asks the OOM killer to spare this process, as far as the host allows it; returns the adjustment that it had before.
pub(crate) fn protect() -> i32 {
    let before = fs::read_to_string(ADJUSTMENT).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if before > PROTECTED {
        // Needs CAP_SYS_RESOURCE; without it the monitor is as safe as the engine was.
        let _ = fs::write(ADJUSTMENT, PROTECTED.to_string());
    }
    before
}

/// Gives memory back that was needed for a while only.
pub(crate) fn give_back() {
    wharf_sys::memory::trim();
}
