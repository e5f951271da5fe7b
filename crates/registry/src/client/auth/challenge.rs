//! `WWW-Authenticate` (RFC 9110, 11.6.1; for tokens the distribution specification).

/// How a registry wants to know who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password (RFC 7617).
    Basic,
    /// A token from the server at `realm` (RFC 6750).
    Bearer {
        /// The token server.
        realm: String,
        /// For whom the token is.
        service: Option<String>,
        /// For what the token is.
        scope: Option<String>,
    },
}

/// All challenges of a header that are understood.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header;
    while let Some((scheme, parameters, after)) = next(rest) {
        let find = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = find("realm")
        {
            challenges.push(Challenge::Bearer { realm, service: find("service"), scope: find("scope") });
        }
        rest = after;
    }
    challenges
}

type Parameters = Vec<(String, String)>;

/// The next scheme with its parameters, and what follows.
fn next(text: &str) -> Option<(&str, Parameters, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let (scheme, mut rest) = token(text)?;
    let mut parameters = Vec::new();
    loop {
        let ahead = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = token(ahead) else { return Some((scheme, parameters, skip(ahead))) };
        // A token without an equals sign begins the next challenge.
        let Some(value) = after.trim_start().strip_prefix('=') else { return Some((scheme, parameters, ahead)) };
        let (value, after) = value_of(value.trim_start());
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

/// Past a character that has no place here, so that parsing ends.
fn skip(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted text with its escapes undone, or a bare word.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#;
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:library/debian:pull"));
        assert_eq!(parse(hub), [expected]);
        assert_eq!(parse("Basic realm=\"Registry, of \\\"ours\\\"\""), [Challenge::Basic]);
        assert_eq!(
            parse("basic realm=x, BEARER realm=\"r\" , service=s"),
            [Challenge::Basic, bearer("r", Some("s"), None)]
        );
        assert_eq!(parse("Negotiate, Basic"), [Challenge::Basic]);
        assert_eq!(parse("Bearer service=\"no realm\""), []);
    }

    proptest! {
        #[test]
        fn any_header_is_answered(text in "\\PC{0,60}|(Bearer|Basic|realm|=|,| |\"|\\\\|scope|x){0,12}") {
            parse(&text);
        }
    }
}
