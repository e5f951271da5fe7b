//! Mount options in mount(8)'s words, as the new mount API takes them.

use wharf_sys::mount::{Change, attribute};

use super::fsmount::Parameter;

/// What a list of options means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// Attributes of the mount.
    pub(super) change: Change,
    /// Attributes of the mount and of all below it.
    pub(super) deep: Change,
    /// Parameters of the file system.
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// Later options win over earlier ones. Words that describe the mount itself (`bind`, `rprivate`) are passed over, as the
/// specification has fields for them.
pub(super) fn parse(options: &[String]) -> Parsed<'_> {
    let mut parsed = Parsed::default();
    for option in options.iter().flat_map(|option| option.split(',')) {
        parsed.add(option);
    }
    parsed
}

impl<'a> Parsed<'a> {
    fn add(&mut self, option: &'a str) {
        if let Some((bit, on)) = attribute_of(option) {
            return put(&mut self.change, bit, on);
        }
        // With an `r` in front an attribute holds for all mounts below, too.
        if let Some((bit, on)) = option.strip_prefix('r').and_then(attribute_of) {
            return put(&mut self.deep, bit, on);
        }
        match option {
            "" | "bind" | "rbind" | "defaults" | "async" | "nomand" | "mand" | "private" | "rprivate" | "slave"
            | "rslave" | "shared" | "rshared" | "unbindable" | "runbindable" | "tmpcopyup" | "notmpcopyup"
            | "idmap" | "ridmap" => {}
            other => self.parameters.push(match other.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (other, None),
            }),
        }
    }
}

/// The attribute that a word sets (`true`) or clears.
fn attribute_of(word: &str) -> Option<(u64, bool)> {
    use attribute::{NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME};
    Some(match word {
        "ro" => (RDONLY, true),
        "rw" => (RDONLY, false),
        "nosuid" => (NOSUID, true),
        "suid" => (NOSUID, false),
        "nodev" => (NODEV, true),
        "dev" => (NODEV, false),
        "noexec" => (NOEXEC, true),
        "exec" => (NOEXEC, false),
        "nosymfollow" => (NOSYMFOLLOW, true),
        "symfollow" => (NOSYMFOLLOW, false),
        "nodiratime" => (NODIRATIME, true),
        "diratime" => (NODIRATIME, false),
        "noatime" => (NOATIME, true),
        "strictatime" => (STRICTATIME, true),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (RELATIME, true),
        _ => return None,
    })
}

fn put(change: &mut Change, bit: u64, on: bool) {
    let is_access_time = bit & attribute::ATIME_MASK != 0 || bit == attribute::RELATIME;
    if is_access_time {
        // The access time policy is a number, not a bit: all of it is cleared when one is set.
        change.set = change.set & !attribute::ATIME_MASK | bit;
        change.clear |= attribute::ATIME_MASK;
    } else if on {
        change.set |= bit;
        change.clear &= !bit;
    } else {
        change.clear |= bit;
        change.set &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_attributes_and_parameters() {
        let options = ["nosuid,exec".to_owned(), "size=64k".to_owned(), "noexec".to_owned(), "nr_inodes=3".to_owned()];
        let parsed = parse(&options);
        assert_eq!(parsed.change.set, attribute::NOSUID | attribute::NOEXEC);
        assert_eq!(parsed.change.clear, 0);
        assert_eq!(parsed.parameters, [("size", Some("64k")), ("nr_inodes", Some("3"))]);
    }

    #[test]
    fn a_word_for_all_mounts_below_is_apart() {
        let options = ["rro".to_owned(), "rnosuid".to_owned(), "nodev".to_owned(), "relatime".to_owned()];
        let parsed = parse(&options);
        assert_eq!(parsed.deep.set, attribute::RDONLY | attribute::NOSUID);
        assert_eq!((parsed.change.set, parsed.change.clear), (attribute::NODEV, attribute::ATIME_MASK));
        assert!(parsed.parameters.is_empty());
    }

    #[test]
    fn the_access_time_policy_replaces_the_one_before() {
        let options = ["noatime".to_owned(), "strictatime".to_owned()];
        let change = parse(&options).change;
        assert_eq!((change.set, change.clear), (attribute::STRICTATIME, attribute::ATIME_MASK));
    }
}
