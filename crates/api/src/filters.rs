//! The `filters` parameter of lists, events and prunes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use wharf_types::{Error, Result};

/// Named sets of values: all names must match, and of each name's values any one.
///
/// Two JSON forms are read: `{"label":{"a=b":true}}`, which is also written, and the old `{"label":["a=b"]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Map(BTreeMap<String, bool>),
    List(Vec<String>),
}

impl Filters {
    /// No filters: everything matches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the value of the query parameter; an empty one means no filters.
    pub fn parse(json: &str) -> Result<Self> {
        if json.is_empty() || json == "null" {
            return Ok(Self::default());
        }
        let names: BTreeMap<String, Values> =
            serde_json::from_str(json).map_err(|error| Error::invalid("invalid filter").caused_by(error))?;
        let values = |values| match values {
            Values::Map(map) => map.into_iter().filter_map(|(value, on)| on.then_some(value)).collect(),
            Values::List(list) => list.into_iter().collect(),
        };
        Ok(Self(names.into_iter().map(|(name, set)| (name, values(set))).collect()))
    }

    /// The value for the query parameter.
    pub fn to_json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let set = |values: &BTreeSet<String>| {
            values.iter().map(|value| format!("{}:true", quoted(value))).collect::<Vec<_>>().join(",")
        };
        let names: Vec<_> =
            self.0.iter().map(|(name, values)| format!("{}:{{{}}}", quoted(name), set(values))).collect();
        format!("{{{}}}", names.join(","))
    }

    /// Adds a value.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().insert(value.into());
    }

    /// As [`Filters::add`], for chains.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.add(name, value);
        self
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` is among the filters.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The values of `name`; none if it is absent.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// All names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.0.iter().map(|(name, values)| (name.as_str(), values))
    }

    /// Fails on a name that is not among `accepted`, in Docker's words.
    pub fn check_names(&self, accepted: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !accepted.contains(&name.as_str())) {
            Some(name) => Err(Error::invalid(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// Whether `name` is absent or one of its values satisfies `matches`.
    pub fn any(&self, name: &str, matches: impl FnMut(&str) -> bool) -> bool {
        self.0.get(name).is_none_or(|values| values.iter().map(String::as_str).any(matches))
    }

    /// The truth value of `name` (`dangling=true`, `1`, `t`), `None` where it is absent.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        let mut values = self.values(name);
        let invalid =
            || Error::invalid(format!("invalid filter '{name}=[{}]'", self.values(name).collect::<Vec<_>>().join(" ")));
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some("1" | "t" | "T" | "true" | "TRUE" | "True"), None) => Ok(Some(true)),
            (Some("0" | "f" | "F" | "false" | "FALSE" | "False"), None) => Ok(Some(false)),
            _ => Err(invalid()),
        }
    }

    /// Whether `labels` satisfy the `label` filters (`key` or `key=value`; all must match) and none of the `label!` ones.
    pub fn match_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_json_forms_are_read() {
        let new = Filters::parse(r#"{"label":{"a=b":true,"c":true,"off":false},"status":{"running":true}}"#).unwrap();
        let old = Filters::parse(r#"{"label":["a=b","c"],"status":["running"]}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(Filters::parse(&new.to_json()).unwrap(), new);
        assert!(Filters::parse("").unwrap().is_empty());
        assert!(Filters::parse("[]").is_err() && Filters::parse(r#"{"a":1}"#).is_err());
    }

    #[test]
    fn labels_must_all_match() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())]);
        assert!(Filters::new().with("label", "a=b").with("label", "c").match_labels(&labels));
        assert!(!Filters::new().with("label", "a=b").with("label", "d").match_labels(&labels));
        assert!(!Filters::new().with("label!", "a").match_labels(&labels));
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        assert_eq!(Filters::new().with("dangling", "1").flag("dangling").unwrap(), Some(true));
        assert_eq!(Filters::new().flag("dangling").unwrap(), None);
        assert!(Filters::new().with("dangling", "yes").flag("dangling").is_err());
    }
}
