//! Which packages make up the system: what every system must have, apt, what was asked for, and all that they need.

use crate::index::{Index, Package};
use crate::relation::Relation;
use std::collections::{HashMap, VecDeque};
use wharf_types::{Error, Result};

/// The chosen packages.
#[derive(Debug)]
pub struct Selection<'i, 'a> {
    /// What every system must have and apt, with all that they need, in alphabetical order.
    pub base: Vec<&'i Package<'a>>,
    /// What was asked for on top and all that it needs, in alphabetical order.
    pub extra: Vec<&'i Package<'a>>,
}

/// The alternative to `usrmerge`, which merges `/usr` afterwards and needs perl: here it is merged from the start.
const ALREADY_MERGED: &str = "usr-is-merged";

/// Chooses the packages. `apt` belongs to every system.
pub fn resolve<'i, 'a>(index: &'i Index<'a>, include: &[String]) -> Result<Selection<'i, 'a>> {
    let mut resolver = Resolver { index, chosen: HashMap::new(), queue: VecDeque::new() };
    for package in index.iter().filter(|package| package.required) {
        resolver.choose(package);
    }
    if resolver.chosen.is_empty() {
        return Err(Error::corrupt("the repository has no essential packages").with_hint("is the suite's name right?"));
    }
    resolver.choose(find(index, "apt")?);
    resolver.complete()?;
    let base: Vec<_> = resolver.chosen.keys().copied().collect();
    for name in include {
        resolver.choose(find(index, name)?);
    }
    resolver.complete()?;
    resolver.check_conflicts()?;
    Ok(resolver.split(&base))
}

struct Resolver<'i, 'a> {
    index: &'i Index<'a>,
    chosen: HashMap<&'a str, &'i Package<'a>>,
    queue: VecDeque<&'i Package<'a>>,
}

fn find<'i, 'a>(index: &'i Index<'a>, name: &str) -> Result<&'i Package<'a>> {
    index.get(name).ok_or_else(|| {
        Error::not_found(format!("the repository has no package '{name}'"))
            .with_hint("check its name; packages outside 'main' need --component")
    })
}

impl<'i, 'a> Resolver<'i, 'a> {
    fn choose(&mut self, package: &'i Package<'a>) {
        if self.chosen.insert(package.name, package).is_none() {
            self.queue.push_back(package);
        }
    }

    /// Adds what the chosen packages need, until nothing is missing.
    fn complete(&mut self) -> Result<()> {
        while let Some(package) = self.queue.pop_front() {
            for group in package.depends() {
                if !group.iter().any(|relation| self.is_satisfied(relation)) {
                    let needed = self.pick(package, &group)?;
                    self.choose(needed);
                }
            }
        }
        Ok(())
    }

    fn is_satisfied(&self, relation: &Relation<'_>) -> bool {
        self.chosen.get(relation.name).is_some_and(|package| package.satisfies(relation))
            || self.index.candidates(relation).iter().any(|package| self.chosen.contains_key(package.name))
    }

    /// The first alternative that exists and gets along with what is chosen already.
    fn pick(&self, package: &Package<'_>, group: &[Relation<'_>]) -> Result<&'i Package<'a>> {
        let mut candidates: Vec<_> = group.iter().flat_map(|relation| self.index.candidates(relation)).collect();
        candidates.sort_by_key(|candidate| candidate.name != ALREADY_MERGED);
        let fits = |candidate: &&&'i Package<'a>| !self.chosen.values().any(|other| conflict(candidate, other));
        candidates.iter().find(fits).or(candidates.first()).copied().ok_or_else(|| {
            let names: Vec<_> = group.iter().map(|relation| relation.name).collect();
            Error::not_found(format!(
                "{} needs {}, which the repository does not have",
                package.full_name(),
                names.join(" or ")
            ))
            .with_hint("the suite may be in the middle of a change; try again later or take another suite")
        })
    }

    fn check_conflicts(&self) -> Result<()> {
        for package in self.chosen.values() {
            for relation in package.conflicts() {
                if let Some(other) =
                    self.chosen.values().find(|other| other.name != package.name && other.satisfies(&relation))
                {
                    return Err(Error::conflict(format!(
                        "{} does not go with {}",
                        package.full_name(),
                        other.full_name()
                    ))
                    .with_hint("leave one of the included packages out"));
                }
            }
        }
        Ok(())
    }

    fn split(&self, base: &[&str]) -> Selection<'i, 'a> {
        let mut all: Vec<_> = self.chosen.values().copied().collect();
        all.sort_by_key(|package| package.name);
        let (base, extra) = all.into_iter().partition(|package| base.contains(&package.name));
        Selection { base, extra }
    }
}

fn conflict(one: &Package<'_>, other: &Package<'_>) -> bool {
    let excludes = |one: &Package<'_>, other: &Package<'_>| {
        one.name != other.name && one.conflicts().any(|relation| other.satisfies(&relation))
    };
    excludes(one, other) || excludes(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_types::{Digest, Kind};

    fn entry(name: &str, version: &str, fields: &str) -> String {
        let digest = Digest::of(name.as_bytes()).hex();
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {digest}\n{fields}\n\n"
        )
    }

    fn names(text: &str, include: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
        let base = entry("libc6", "2.36", "Essential: yes") + &entry("apt", "2.6", "Depends: libc6 (>= 2)");
        let text = base + text;
        let index = Index::parse(&[&text], "amd64")?;
        let include: Vec<_> = include.iter().map(|name| (*name).to_owned()).collect();
        let selection = resolve(&index, &include)?;
        let names = |packages: &[&Package<'_>]| packages.iter().map(|package| package.full_name()).collect();
        Ok((names(&selection.base), names(&selection.extra)))
    }

    #[test]
    fn takes_what_is_required_and_apt_and_leaves_the_rest() {
        let text = entry("tzdata", "1", "Priority: required\nPre-Depends: zone | libc6")
            + &entry("vim", "9", "")
            + &entry("zone", "1", "");
        let (base, extra) = names(&text, &[]).unwrap();
        assert_eq!(base, ["apt=2.6", "libc6=2.36", "tzdata=1"]);
        assert!(extra.is_empty());
    }

    #[test]
    fn follows_dependencies_alternatives_and_virtual_packages() {
        let text = entry("a", "1", "Depends: b (>= 2) | c, mta, libc6:any")
            + &entry("b", "1", "")
            + &entry("c", "1", "Depends: d (= 1:1)")
            + &entry("d", "1:1", "")
            + &entry("exim", "4", "Provides: mta")
            + &entry("zmail", "4", "Provides: mta\nPriority: optional");
        let (_, extra) = names(&text, &["a"]).unwrap();
        assert_eq!(extra, ["a=1", "c=1", "d=1:1", "exim=4"]);
        let (_, extra) = names(&text, &["a", "zmail"]).unwrap();
        assert_eq!(extra, ["a=1", "c=1", "d=1:1", "zmail=4"]);
    }

    #[test]
    fn does_not_merge_usr_afterwards() {
        let text = entry("a", "1", "Depends: usrmerge | usr-is-merged")
            + &entry("usrmerge", "1", "")
            + &entry("usr-is-merged", "1", "");
        assert_eq!(names(&text, &["a"]).unwrap().1, ["a=1", "usr-is-merged=1"]);
    }

    #[test]
    fn takes_the_latest_of_several_versions() {
        let text = entry("a", "1.10", "") + &entry("a", "1.9", "") + &entry("a", "1.10~rc1", "");
        assert_eq!(names(&text, &["a"]).unwrap().1, ["a=1.10"]);
    }

    #[test]
    fn goes_round_what_conflicts() {
        let text = entry("a", "1", "Depends: x | y") + &entry("x", "1", "Conflicts: libc6") + &entry("y", "1", "");
        assert_eq!(names(&text, &["a"]).unwrap().1, ["a=1", "y=1"]);
        let text = entry("a", "1", "") + &entry("b", "1", "Breaks: a (<< 2)");
        assert_eq!(names(&text, &["a", "b"]).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(names(&text.replace("<< 2", "<< 1"), &["a", "b"]).unwrap().1, ["a=1", "b=1"]);
    }

    #[test]
    fn provided_versions_satisfy_bounds() {
        let text = entry("a", "1", "Depends: abi (>= 3)")
            + &entry("p", "9", "Provides: abi (= 3)")
            + &entry("b", "1", "Provides: abi");
        assert_eq!(names(&text, &["a"]).unwrap().1, ["a=1", "p=9"]);
    }

    #[test]
    fn says_what_is_missing() {
        let error = names("", &["nope"]).unwrap_err();
        assert!(error.kind() == Kind::NotFound && error.hint().is_some());
        let error = names(&entry("a", "1", "Depends: gone (>= 1) | lost"), &["a"]).unwrap_err();
        assert!(error.to_string().contains("a=1 needs gone or lost"), "{error:?}");
        assert!(Index::parse(&["Package: broken\n"], "amd64").is_err());
    }

    #[test]
    fn cycles_end() {
        let text = entry("a", "1", "Depends: b") + &entry("b", "1", "Pre-Depends: a");
        assert_eq!(names(&text, &["a"]).unwrap().1, ["a=1", "b=1"]);
    }
}
