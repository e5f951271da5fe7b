//! Who may do what with which repositories, from a file.
//!
//! ```text
//! # who        may do what          with which repositories
//! alice        pull,push,delete     team-a/**
//! @ci          pull,push            **
//! *            pull                 **
//! *            pull,push,delete     users/{user}/**
//! anonymous    pull                 public/**
//!
//! @ci = robot, jenkins
//! ```
//!
//! `*` is every user with a password; `anonymous` is whoever has not said who it is, and everybody may do what it may.
//! In repositories `*` stands for anything within one part of a name, `**` for anything, `{user}` for the user's name.
//! What no line allows is not allowed.

use std::collections::HashMap;
use std::path::Path;

use wharf_types::{Error, Result};

use super::Action;
use super::reload;

/// The rules of a file.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    who: Who,
    actions: Vec<Action>,
    repositories: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    EveryUser,
    Users(Vec<String>),
}

impl Rules {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&reload::text(path)?).map_err(|(line, reason)| {
            Error::invalid(format!("{}, line {line}: {reason}", path.display()))
                .with_hint("a line is 'WHO ACTIONS REPOSITORIES', as in 'alice pull,push team-a/**'")
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let lines = || {
            let numbered = text.lines().enumerate();
            let stripped = numbered.map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()));
            stripped.filter(|(_, line)| !line.is_empty())
        };
        let mut groups: HashMap<&str, Vec<String>> = HashMap::new();
        for (number, line) in lines() {
            if let Some((name, members)) = line.split_once('=') {
                let name = name.trim().strip_prefix('@').ok_or((number, "a group's name begins with @".to_owned()))?;
                let members = members.split(',').map(|member| member.trim().to_owned());
                groups.entry(name).or_default().extend(members.filter(|member| !member.is_empty()));
            }
        }
        let rules = lines().filter(|(_, line)| !line.contains('='));
        let rules = rules.map(|(number, line)| Rule::parse(line, &groups).map_err(|reason| (number, reason)));
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a user, or somebody who has not said who it is, may do this.
    pub fn allow(&self, user: Option<&str>, repository: &str, action: Action) -> bool {
        self.0.iter().any(|rule| {
            let meant = match (&rule.who, user) {
                (Who::Anonymous, _) | (Who::EveryUser, Some(_)) => true,
                (Who::Users(users), Some(user)) => users.iter().any(|known| known == user),
                _ => false,
            };
            meant && rule.actions.contains(&action) && rule.matches(user, repository)
        })
    }

    /// Whether anybody may do anything unnamed.
    pub fn admits_anonymous(&self) -> bool {
        self.0.iter().any(|rule| rule.who == Who::Anonymous)
    }
}

impl Rule {
    fn parse(line: &str, groups: &HashMap<&str, Vec<String>>) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [who, actions, repositories] = words[..] else {
            return Err(format!("three words were expected and not {}", words.len()));
        };
        let who = match (who, who.strip_prefix('@')) {
            ("anonymous", _) => Who::Anonymous,
            ("*", _) => Who::EveryUser,
            (_, Some(group)) => Who::Users(groups.get(group).ok_or(format!("there is no group {who}"))?.clone()),
            (user, None) => Who::Users(vec![user.to_owned()]),
        };
        let action = |word: &str| {
            let found = Action::ALL.into_iter().find(|action| action.word() == word);
            found.ok_or(format!("{word:?} is neither pull, push nor delete"))
        };
        let actions = match actions {
            "*" => Action::ALL.to_vec(),
            list => list.split(',').map(action).collect::<Result<_, _>>()?,
        };
        Ok(Self { who, actions, repositories: repositories.to_owned() })
    }

    fn matches(&self, user: Option<&str>, repository: &str) -> bool {
        if !self.repositories.contains("{user}") {
            return matches(self.repositories.as_bytes(), repository.as_bytes());
        }
        // A name with an asterisk in it is a name, not a pattern.
        let Some(user) = user.filter(|user| !user.contains(['*', '{'])) else { return false };
        matches(self.repositories.replace("{user}", user).as_bytes(), repository.as_bytes())
    }
}

/// Matches a name against a pattern, in time that grows with the product of their lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // `reached[i]`: the pattern up to here matches the first i bytes of the name.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'*' {
            let any = after.first() == Some(&b'*');
            for i in 0..name.len() {
                reached[i + 1] |= reached[i] && (any || name[i] != b'/');
            }
            rest = if any { &after[1..] } else { after };
            continue;
        }
        for i in (0..name.len()).rev() {
            reached[i + 1] = reached[i] && name[i] == *first;
        }
        reached[0] = false;
        rest = after;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, name, matched) in [
            ("**", "a/b", true),
            ("*", "a/b", false),
            ("*", "a", true),
            ("team/*", "team/x", true),
            ("team/*", "team/x/y", false),
            ("team/**", "team/x/y", true),
            ("team/**", "teams/x", false),
            ("team-*/app", "team-a/app", true),
            ("**/app", "a/b/app", true),
            ("a", "b", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), matched, "{pattern} {name}");
        }
    }

    #[test]
    fn lines_add_up_and_nothing_else_is_allowed() {
        let rules = Rules::parse(
            "# rights\nalice pull,push a/** # hers\n@ci * **\n* pull common\n* push users/{user}/**\n\
             anonymous pull public/**\n@ci = robot , r2\n",
        )
        .unwrap();
        for (user, repository, action, allowed) in [
            (Some("alice"), "a/x", Action::Push, true),
            (Some("alice"), "a/x", Action::Delete, false),
            (Some("alice"), "b", Action::Pull, false),
            (Some("r2"), "b", Action::Delete, true),
            (Some("bob"), "common", Action::Pull, true),
            (None, "common", Action::Pull, false),
            (None, "public/x", Action::Pull, true),
            (Some("bob"), "public/x", Action::Pull, true),
            (None, "public/x", Action::Push, false),
            (Some("bob"), "users/bob/x", Action::Push, true),
            (Some("bob"), "users/alice/x", Action::Push, false),
            (Some("**"), "users/alice/x", Action::Push, false),
        ] {
            assert_eq!(rules.allow(user, repository, action), allowed, "{user:?} {repository} {action:?}");
        }
        assert!(rules.admits_anonymous());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line) in [("\nalice pull", 2), ("alice read **", 1), ("@x pull **", 1), ("x = a, b", 1)] {
            assert_eq!(Rules::parse(text).unwrap_err().0, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_answered(text in "[a-z@*{}/, =#\n]{0,120}") {
            if let Ok(rules) = Rules::parse(&text) {
                let _ = rules.allow(Some("a"), "a/b", Action::Pull);
            }
        }
    }
}
