//! Identifiers of containers, networks and execs, and the names that people give.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A random 256-bit identifier, written as 64 lower-case hexadecimal digits, as Docker writes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 32]);

/// Why a string is not an [`Id`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an id is 64 lower-case hexadecimal digits")]
pub struct IdError;

impl Id {
    /// An id from 32 random bytes; where they come from is the caller's matter.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first twelve digits, as tables show them and as the default host name is.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }

    /// The first `digits` hexadecimal digits, for names in the kernel that must be short.
    pub fn prefix(&self, digits: usize) -> String {
        let mut text = self.to_string();
        text.truncate(digits);
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(IdError);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `name` may name a container, network or volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule.
pub fn validate_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_writes() {
        let id = Id::from_random([0xab; 32]);
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert_eq!(id.short(), "abababababab");
        assert!("ab".parse::<Id>().is_err());
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["ab", "web-1", "a.b_c", "0x"] {
            assert!(validate_name(good), "{good}");
        }
        for bad in ["", "a", "-ab", "a b", "ä1", "a/b", ".a"] {
            assert!(!validate_name(bad), "{bad}");
        }
    }
}
