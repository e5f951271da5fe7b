//! The Release file of a suite: which indices it has, and until when to believe it.

use crate::deb822::Paragraph;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use wharf_types::{Digest, Error, Result};

/// What a verified Release file says.
#[derive(Debug, Clone)]
pub struct Release {
    /// Such as `oldstable`.
    pub suite: String,
    /// Such as `bookworm`.
    pub codename: String,
    /// When it was made.
    pub date: SystemTime,
    /// After this it must not be believed any more.
    pub valid_until: Option<SystemTime>,
    /// Whether indices can be fetched by their digest, which no update of the mirror can disturb.
    pub by_hash: bool,
    /// The digest of the text itself.
    pub digest: Digest,
    /// Size and digest of each index, by its path below the suite.
    pub files: HashMap<String, (u64, Digest)>,
}

impl Release {
    /// Reads the text of a Release file; only ever hand in text whose signature has been verified.
    pub fn parse(text: &str) -> Result<Self> {
        let fields = Paragraph::parse(text).ok_or_else(|| malformed("it is no list of fields"))?;
        let word = |name: &str| fields.get(name).unwrap_or_default().to_owned();
        let files = fields.get("SHA256").ok_or_else(|| malformed("it has no SHA-256 digests"))?;
        Ok(Self {
            suite: word("Suite"),
            codename: word("Codename"),
            date: fields.get("Date").and_then(parse_date).ok_or_else(|| malformed("it has no date"))?,
            valid_until: fields
                .get("Valid-Until")
                .map(|text| parse_date(text).ok_or_else(|| malformed("its Valid-Until is no date")))
                .transpose()?,
            by_hash: fields.get("Acquire-By-Hash").is_some_and(|value| value.eq_ignore_ascii_case("yes")),
            digest: Digest::of(text.as_bytes()),
            files: files.lines().filter(|line| !line.trim().is_empty()).map(parse_file).collect::<Result<_>>()?,
        })
    }

    /// Refuses the Release file of another suite, which a mirror might serve in place of the right one.
    pub fn check_suite(&self, wanted: &str) -> Result<()> {
        if self.suite == wanted || self.codename == wanted {
            return Ok(());
        }
        let found = format!("suite '{}', code name '{}'", self.suite, self.codename);
        Err(Error::corrupt(format!("the mirror serves another suite in place of '{wanted}' ({found})"))
            .with_hint("take another mirror with --mirror"))
    }

    /// Refuses a Release file that is out of date, with which a mirror could withhold security updates.
    pub fn check_valid_until(&self, now: SystemTime) -> Result<()> {
        match self.valid_until {
            Some(end) if end < now => {
                let end = jiff::Timestamp::try_from(end).map_or_else(|_| "long ago".to_owned(), |end| end.to_string());
                Err(Error::unavailable(format!("the Release file of '{}' is out of date since {end}", self.codename))
                    .with_hint("check the host's clock, or take another mirror with --mirror"))
            }
            _ => Ok(()),
        }
    }
}

fn parse_file(line: &str) -> Result<(String, (u64, Digest))> {
    let mut words = line.split_whitespace();
    let mut parse = || {
        let digest = Digest::from_hex(words.next()?).ok()?;
        let size = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), (size, digest)))
    };
    parse().ok_or_else(|| malformed("it has a line that is no digest, size and path"))
}

/// Dates are as in mail, always in UTC: `Sat, 11 Jul 2026 10:16:37 UTC`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let text = ["UTC", "GMT", "+0000", "Z"].iter().find_map(|zone| text.trim().strip_suffix(zone))?.trim_end();
    let civil = DateTime::strptime("%a, %d %b %Y %H:%M:%S", text).ok()?;
    let seconds = u64::try_from(TimeZone::UTC.to_timestamp(civil).ok()?.as_second()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn malformed(reason: &str) -> Error {
    Error::corrupt(format!("the Release file is malformed: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(extra: &str) -> String {
        let digest = Digest::of(b"x").hex();
        format!(
            "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n{extra}Acquire-By-Hash: yes\n\
             SHA256:\n {digest}     1484322 main/binary-amd64/Packages.xz\n"
        )
    }

    #[test]
    fn reads_the_fields() {
        let release = Release::parse(&text("")).unwrap();
        assert_eq!(release.date, SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_764_997));
        assert_eq!(release.files["main/binary-amd64/Packages.xz"], (1_484_322, Digest::of(b"x")));
        assert!(release.by_hash && release.valid_until.is_none());
        assert!(release.check_suite("bookworm").is_ok() && release.check_suite("oldstable").is_ok());
        assert!(release.check_suite("trixie").unwrap_err().hint().is_some());
    }

    #[test]
    fn believes_it_for_its_time_only() {
        let release = Release::parse(&text("Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\n")).unwrap();
        let end = release.valid_until.unwrap();
        assert!(release.check_valid_until(end).is_ok());
        let error = release.check_valid_until(end + Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("2026-07-18") && error.hint().is_some(), "{error:?}");
    }

    #[test]
    fn refuses_what_is_malformed() {
        let good = text("");
        let bad = [
            good.replace("SHA256", "MD5Sum"),
            good.replace("1484322", "many"),
            good.replace("UTC", "CET"),
            "nonsense".to_owned(),
        ];
        for case in bad {
            assert!(Release::parse(&case).is_err(), "{case}");
        }
    }
}
