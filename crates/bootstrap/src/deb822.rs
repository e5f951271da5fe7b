//! The paragraph format of Debian's control files, package indices, Release files and apt's `.sources` (deb822(5)).

/// One paragraph: fields in their order, values as they stand (with the line breaks of continuation lines).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Paragraph<'a> {
    /// Reads one paragraph; `None` when a line is neither a field nor the continuation of one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut fields: Vec<(&str, usize, usize)> = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let end = start + line.len();
            if line.starts_with([' ', '\t']) {
                fields.last_mut()?.2 = end;
            } else if !line.trim_end().is_empty() {
                let (name, _) = line.split_once(':')?;
                fields.push((name, start + name.len() + 1, end));
            }
            start = end;
        }
        Some(Self { fields: fields.into_iter().map(|(name, start, end)| (name, text[start..end].trim())).collect() })
    }

    /// The value of a field; names compare without regard to case.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The words of a field; none when the field is missing.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.get(name).unwrap_or_default().split_whitespace()
    }
}

/// The texts of the paragraphs of a file, which are separated by empty lines.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find("\n\n").map_or(rest.len(), |at| at + 1);
        let (paragraph, tail) = rest.split_at(end);
        rest = tail;
        Some(paragraph)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_fields_and_continuations() {
        let text = "Package: a\nDescription: short\n long\n .\n more\nempty:\n\nPackage: b\n";
        let all: Vec<_> = paragraphs(text).map(|p| Paragraph::parse(p).unwrap()).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("package"), Some("a"));
        assert_eq!(all[0].get("Description"), Some("short\n long\n .\n more"));
        assert_eq!(all[0].get("Empty"), Some(""));
        assert_eq!(all[1].get("Package"), Some("b"));
        assert_eq!(all[1].get("Version"), None);
    }

    #[test]
    fn refuses_what_is_not_a_field() {
        assert_eq!(Paragraph::parse("no colon here\n"), None);
        assert_eq!(Paragraph::parse(" continuation of nothing\n"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}(\n[ A-Za-z:]{0,12}){0,8}") {
            for paragraph in paragraphs(&text) {
                let _ = Paragraph::parse(paragraph);
            }
        }
    }
}
