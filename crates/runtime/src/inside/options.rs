//! Mount options in mount(8)'s words, as the new mount API takes them.

use wharf_sys::mount::{Change, attribute};

use super::fsmount::Parameter;

/// What a list of options means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// Attributes of the mount.
    pub(super) change: Change,
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
        use attribute::{NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME};
        match option {
            "ro" => self.set(RDONLY),
            "rw" => self.clear(RDONLY),
            "nosuid" => self.set(NOSUID),
            "suid" => self.clear(NOSUID),
            "nodev" => self.set(NODEV),
            "dev" => self.clear(NODEV),
            "noexec" => self.set(NOEXEC),
            "exec" => self.clear(NOEXEC),
            "nosymfollow" => self.set(NOSYMFOLLOW),
            "symfollow" => self.clear(NOSYMFOLLOW),
            "nodiratime" => self.set(NODIRATIME),
            "diratime" => self.clear(NODIRATIME),
            "noatime" => self.access_times(NOATIME),
            "strictatime" => self.access_times(STRICTATIME),
            "relatime" | "atime" | "norelatime" | "nostrictatime" => self.access_times(RELATIME),
            "" | "bind" | "rbind" | "defaults" | "async" | "nomand" | "private" | "rprivate" | "slave" | "rslave"
            | "shared" | "rshared" | "tmpcopyup" | "notmpcopyup" => {}
            other => self.parameters.push(match other.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (other, None),
            }),
        }
    }

    fn set(&mut self, bit: u64) {
        self.change.set |= bit;
        self.change.clear &= !bit;
    }

    fn clear(&mut self, bit: u64) {
        self.change.clear |= bit;
        self.change.set &= !bit;
    }

    /// The access time policy is a number, not a bit: all of it is cleared when one is set.
    fn access_times(&mut self, policy: u64) {
        self.change.set = self.change.set & !attribute::ATIME_MASK | policy;
        self.change.clear |= attribute::ATIME_MASK;
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
    fn the_access_time_policy_replaces_the_one_before() {
        let options = ["noatime".to_owned(), "strictatime".to_owned()];
        let change = parse(&options).change;
        assert_eq!((change.set, change.clear), (attribute::STRICTATIME, attribute::ATIME_MASK));
    }
}
