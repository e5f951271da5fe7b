//! Paths and query strings.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a query value may hold unescaped.
const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');
/// What a name within a path may hold unescaped: image names come with their slashes.
const NAME: &AsciiSet = &VALUE.remove(b'@');

/// A request's path with its query, without the version.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// A path without names in it.
    pub(crate) fn new(path: &str) -> Self {
        Self { text: path.to_owned(), has_query: false }
    }

    /// `/{collection}/{name}{rest}`, with the name escaped.
    pub(crate) fn named(collection: &str, name: &str, rest: &str) -> Self {
        let name = utf8_percent_encode(name, NAME);
        Self::new(&format!("/{collection}/{name}{rest}"))
    }

    /// Adds a parameter.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, VALUE));
        self
    }

    /// Adds a parameter unless it is empty.
    pub(crate) fn with_text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// Adds a parameter if there is a value.
    pub(crate) fn with_option<T: ToString>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds `name=1` if it is on.
    pub(crate) fn with_flag(self, name: &str, on: bool) -> Self {
        if on { self.with(name, "1") } else { self }
    }

    /// Adds the filters if there are any.
    pub(crate) fn with_filters(self, filters: &wharf_api::filters::Filters) -> Self {
        if filters.is_empty() { self } else { self.with("filters", &filters.to_json()) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_escaped() {
        let target =
            Target::named("images", "localhost:5000/a b@sha256:0", "/json").with("q", "a=b&c").with_flag("f", true);
        assert_eq!(target.as_str(), "/images/localhost:5000/a%20b@sha256:0/json?q=a%3Db%26c&f=1");
        let bare = Target::new("/info").with_flag("f", false).with_text("t", "").with_option("n", None::<i32>);
        assert_eq!(bare.as_str(), "/info");
    }
}
