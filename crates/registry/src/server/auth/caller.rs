//! Who sends a request, and what can be asked for.

use serde::{Deserialize, Serialize};

/// What somebody does with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Reads.
    Pull,
    /// Adds.
    Push,
    /// Takes away.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The word for it in rules and tokens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    /// What a client should ask a token for: who pushes wants to see what is there, too.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Push => "pull,push",
            other => other.word(),
        }
    }
}

/// What a token allows (Docker's token specification, "access").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository, or `catalog`.
    pub name: String,
    /// What may be done; `*` is everything.
    pub actions: Vec<String>,
}

impl Access {
    /// Whether it is about the list of repositories.
    pub fn is_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog" && self.actions.iter().any(|action| action == "*")
    }

    /// Whether it allows this.
    pub fn covers(&self, name: &str, action: Action) -> bool {
        let is_named = |word: &String| word == "*" || word == action.word();
        self.kind == "repository" && self.name == name && self.actions.iter().any(is_named)
    }

    /// Reads `repository:NAME:pull,push`. The name may have colons.
    fn read(scope: &str) -> Option<Self> {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }
}

/// Everything that a request for a token asks for: `scope` may be there several times, and hold several.
pub fn scopes(query: &str) -> impl Iterator<Item = Access> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
    let words: Vec<String> = values.map(decode).collect();
    let words: Vec<Access> = words.iter().flat_map(|text| text.split(' ')).filter_map(Access::read).collect();
    words.into_iter()
}

/// Who somebody is.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// Nobody is asked.
    Everyone,
    /// Has not said.
    Anonymous,
    /// Has shown a password.
    User(String),
    /// Has shown a token of ours.
    OwnToken { user: Option<String>, access: Vec<Access> },
    /// Has shown a token of somebody else's.
    ForeignToken { user: Option<String>, access: Vec<Access> },
}

/// Who sends a request, and from where.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) identity: Identity,
    /// The address by which it knows the registry.
    pub(super) base: String,
    /// Whether it is the web page.
    pub(super) from_page: bool,
}

impl Caller {
    /// The user's name, for logs.
    pub fn user(&self) -> Option<&str> {
        match &self.identity {
            Identity::Everyone | Identity::Anonymous => None,
            Identity::User(user) => Some(user),
            Identity::OwnToken { user, .. } | Identity::ForeignToken { user, .. } => user.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_in_all_their_forms() {
        let query =
            "service=x&scope=repository%3Aa%2Fb%3Apull%2Cpush+registry:catalog:*&scope=repository:c:*&scope=bad";
        let all: Vec<Access> = scopes(query).collect();
        assert_eq!(all.len(), 3);
        assert!(all[0].covers("a/b", Action::Push) && !all[0].covers("a/b", Action::Delete));
        assert!(all[1].is_catalog());
        assert!(all[2].covers("c", Action::Delete) && !all[2].covers("a/b", Action::Pull));
    }
}
