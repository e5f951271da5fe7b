//! Versions of the API: `1.24` to `1.55`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wharf_types::{Error, Result};

/// A version of the Engine API, for instance `1.47`. Compares as people expect: 1.9 is before 1.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// The oldest that is served.
    pub const MIN: Self = Self::new(1, 24);
    /// The newest that is served, and the one of a path without a version.
    pub const MAX: Self = Self::new(1, 55);

    /// `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether this version is `1.minor` or later.
    pub fn at_least(self, minor: u16) -> bool {
        self >= Self::new(1, minor)
    }

    /// Whether this version is before `1.minor`.
    pub fn before(self, minor: u16) -> bool {
        !self.at_least(minor)
    }

    /// This version if it is served; the error has Docker's text, which clients look at to negotiate.
    pub fn check_served(self) -> Result<Self> {
        let (min, max) = (Self::MIN, Self::MAX);
        if self < min {
            return Err(Error::invalid(format!(
                "client version {self} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version"
            )));
        }
        if self > max {
            return Err(Error::invalid(format!(
                "client version {self} is too new. Maximum supported API version is {max}"
            )));
        }
        Ok(self)
    }
}

/// Why a string is not an [`ApiVersion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionError;

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an API version looks like 1.47")
    }
}

impl std::error::Error for VersionError {}

impl FromStr for ApiVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse().map_err(|_| VersionError),
            false => Err(VersionError),
        };
        let (major, minor) = text.split_once('.').ok_or(VersionError)?;
        Ok(Self::new(number(major)?, number(minor)?))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self::MAX
    }
}

impl Serialize for ApiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let parse = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(parse("1.9") < parse("1.10"));
        assert!(parse("1.47").at_least(47) && parse("1.47").before(48));
        for bad in ["", "1", "1.", ".1", "v1.2", "1.2.3", "1.-2", "1.+2", "1.99999999"] {
            assert!(bad.parse::<ApiVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_served_is_told_in_dockers_words() {
        let text = |version: &str| version.parse::<ApiVersion>().unwrap().check_served().unwrap_err().to_string();
        assert!(text("1.23").starts_with("client version 1.23 is too old. Minimum supported API version is 1.24"));
        assert_eq!(text("1.99"), "client version 1.99 is too new. Maximum supported API version is 1.55");
        assert!(ApiVersion::MIN.check_served().is_ok() && ApiVersion::MAX.check_served().is_ok());
    }
}
