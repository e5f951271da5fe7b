//! Names for containers whose makers gave none: an adjective and someone or something of the sea.

use rustix::rand::{GetRandomFlags, getrandom};
use wharf_types::Id;

const ADJECTIVES: [&str; 48] = [
    "able", "amber", "brave", "bright", "brisk", "calm", "clear", "clever", "coral", "crisp", "daring", "deft",
    "eager", "early", "fair", "fleet", "fond", "free", "gentle", "glad", "golden", "grand", "hardy", "honest", "jolly",
    "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "mighty", "nimble", "noble", "patient", "plucky",
    "proud", "quick", "quiet", "ready", "silver", "sound", "steady", "sunny", "swift", "warm", "wise",
];

const NOUNS: [&str; 64] = [
    "albatross",
    "anchor",
    "barge",
    "beacon",
    "boatswain",
    "bollard",
    "breeze",
    "brig",
    "buoy",
    "capstan",
    "captain",
    "catamaran",
    "clipper",
    "cod",
    "compass",
    "cormorant",
    "crane",
    "current",
    "cutter",
    "deck",
    "dinghy",
    "dolphin",
    "dory",
    "ferry",
    "fjord",
    "frigate",
    "gale",
    "galley",
    "gull",
    "halyard",
    "harbour",
    "heron",
    "herring",
    "hull",
    "islet",
    "jetty",
    "keel",
    "ketch",
    "lagoon",
    "lantern",
    "lugger",
    "mackerel",
    "mast",
    "mooring",
    "navigator",
    "oar",
    "osprey",
    "pelican",
    "pier",
    "pilot",
    "plover",
    "porpoise",
    "quay",
    "rudder",
    "sail",
    "schooner",
    "sextant",
    "sloop",
    "sparrow",
    "tern",
    "tide",
    "tiller",
    "trawler",
    "yawl",
];

/// A random name that `taken` does not know; after a few attempts with a number behind it.
pub fn generate(taken: impl Fn(&str) -> bool) -> String {
    for attempt in 0u32.. {
        let bytes = random::<4>();
        let adjective = ADJECTIVES[usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % ADJECTIVES.len()];
        let noun = NOUNS[usize::from(u16::from_le_bytes([bytes[2], bytes[3]])) % NOUNS.len()];
        let name = if attempt < 4 { format!("{adjective}_{noun}") } else { format!("{adjective}_{noun}{attempt}") };
        if !taken(&name) {
            return name;
        }
    }
    unreachable!("more names are taken than there are numbers")
}

/// A fresh random id. One whose first twelve digits are all decimal is avoided, since as a host name it would look
/// like a number.
pub fn fresh_id() -> Id {
    loop {
        let id = Id::from_random(random());
        if id.short().bytes().any(|b| b.is_ascii_alphabetic()) {
            return id;
        }
    }
}

/// `N` random bytes from the kernel.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // getrandom(2) fails only when interrupted before the pool is ready, at boot.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_even_when_most_are_taken() {
        let name = generate(|name| !name.ends_with(|c: char| c.is_ascii_digit()));
        assert!(wharf_types::validate_name(&name), "{name}");
    }
}
