//! Package relationships: `a (>= 1.0), b | c:any`, as in the fields Depends, Provides and Conflicts.

use crate::version;
use std::cmp::Ordering;

/// One alternative of a relationship: a name and perhaps a bound on the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package's name, without an architecture.
    pub name: &'a str,
    /// The bound, such as `>=` and `1.0`.
    pub bound: Option<(Operator, &'a str)>,
}

/// How a version must relate to the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the ancient `<`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and the ancient `>`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl<'a> Relation<'a> {
    /// Reads one alternative, such as `libc6:any (>= 2.36)`; `None` when it makes no sense.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, bound) = match text.split_once('(') {
            Some((name, bound)) => (name, Some(parse_bound(bound.split_once(')')?.0)?)),
            None => (text, None),
        };
        let name = name.trim().split(':').next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(Self { name, bound })
    }

    /// Whether a real package of this version satisfies the bound.
    pub fn accepts(&self, found: &str) -> bool {
        self.bound.is_none_or(|(operator, wanted)| operator.holds(version::compare(found, wanted)))
    }

    /// Whether a `Provides` entry satisfies this: one without a version satisfies only what has no bound (policy 7.5).
    pub fn accepts_provided(&self, provided: &Relation<'_>) -> bool {
        self.name == provided.name
            && match (self.bound, provided.bound) {
                (None, _) => true,
                (Some(_), Some((Operator::Equal, version))) => self.accepts(version),
                (Some(_), _) => false,
            }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Earlier => order.is_lt(),
            Self::EarlierOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::LaterOrEqual => order.is_ge(),
            Self::Later => order.is_gt(),
        }
    }
}

fn parse_bound(text: &str) -> Option<(Operator, &str)> {
    let text = text.trim();
    let digits = text.find(|c| !matches!(c, '<' | '>' | '='))?;
    let (operator, version) = text.split_at(digits);
    let operator = match operator {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    Some((operator, version.trim())).filter(|(_, version)| !version.is_empty())
}

/// The alternatives of each group of a field; a group is satisfied by any of its alternatives.
pub fn groups(field: &str) -> impl Iterator<Item = Vec<Relation<'_>>> {
    field
        .split(',')
        .filter(|group| !group.trim().is_empty())
        .map(|group| group.split('|').filter_map(Relation::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_alternatives_bounds_and_qualifiers() {
        let field = "libc6 (>= 2.36), python3:any | perl (<< 6),\n debconf (>= 0.5) | debconf-2.0,";
        let all: Vec<_> = groups(field).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], [Relation { name: "libc6", bound: Some((Operator::LaterOrEqual, "2.36")) }]);
        assert_eq!(all[1][0], Relation { name: "python3", bound: None });
        assert_eq!(all[1][1].bound, Some((Operator::Earlier, "6")));
        assert_eq!(all[2][1].name, "debconf-2.0");
    }

    #[test]
    fn provided_versions_satisfy_bounds_and_their_absence_does_not() {
        let wanted = Relation::parse("mta (>= 2)").unwrap();
        assert!(wanted.accepts_provided(&Relation::parse("mta (= 2.1)").unwrap()));
        assert!(!wanted.accepts_provided(&Relation::parse("mta (= 1)").unwrap()));
        assert!(!wanted.accepts_provided(&Relation::parse("mta").unwrap()));
        assert!(Relation::parse("mta").unwrap().accepts_provided(&Relation::parse("mta (= 1)").unwrap()));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z0-9(){}|,:<>= \\[\\]~.+-]{0,60}") {
            let _ = groups(&text).count();
        }
    }
}
