//! Package indices (`Packages`): which packages a repository has.

use crate::deb822::{Paragraph, paragraphs};
use crate::relation::{Relation, groups};
use crate::version;
use std::collections::HashMap;
use wharf_types::{Digest, Error, Result};

/// One package of an index.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// The package's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its architecture, or `all`.
    pub architecture: &'a str,
    /// Its path below the repository.
    pub filename: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its file.
    pub sha256: Digest,
    /// Whether every system must have it: essential, or of priority `required`.
    pub required: bool,
    /// Which of the repositories it comes from.
    pub repository: usize,
    depends: [&'a str; 2],
    provides: &'a str,
    conflicts: [&'a str; 2],
}

/// All packages by their names, of each the latest version.
#[derive(Debug, Default)]
pub struct Index<'a> {
    packages: Vec<Package<'a>>,
    by_name: HashMap<&'a str, usize>,
    providers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Package<'a> {
    fn parse(text: &'a str, repository: usize) -> Option<Self> {
        let fields = Paragraph::parse(text)?;
        let or_none = |name: &str| fields.get(name).unwrap_or_default();
        Some(Self {
            name: fields.get("Package")?,
            version: fields.get("Version")?,
            architecture: fields.get("Architecture")?,
            filename: fields.get("Filename")?,
            size: fields.get("Size")?.parse().ok()?,
            sha256: Digest::from_hex(fields.get("SHA256")?).ok()?,
            required: fields.get("Essential") == Some("yes") || fields.get("Priority") == Some("required"),
            repository,
            depends: [or_none("Pre-Depends"), or_none("Depends")],
            provides: or_none("Provides"),
            conflicts: [or_none("Conflicts"), or_none("Breaks")],
        })
    }

    /// What it needs: groups of alternatives.
    pub fn depends(&self) -> impl Iterator<Item = Vec<Relation<'a>>> {
        self.depends.into_iter().flat_map(groups)
    }

    /// What it can stand in for.
    pub fn provides(&self) -> impl Iterator<Item = Relation<'a>> {
        groups(self.provides).flatten()
    }

    /// What must not be there beside it.
    pub fn conflicts(&self) -> impl Iterator<Item = Relation<'a>> {
        self.conflicts.into_iter().flat_map(groups).flatten()
    }

    /// Whether it satisfies a relation, by its own name or by one that it provides.
    pub fn satisfies(&self, relation: &Relation<'_>) -> bool {
        (self.name == relation.name && relation.accepts(self.version))
            || self.provides().any(|provided| relation.accepts_provided(&provided))
    }

    /// `name=version`, as people write it.
    pub fn full_name(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

impl<'a> Index<'a> {
    /// Reads the text of one or more indices, in which several versions of a package may stand.
    pub fn parse(texts: &[&'a str], architecture: &str) -> Result<Self> {
        let mut index = Self::default();
        for (repository, text) in texts.iter().enumerate() {
            for paragraph in paragraphs(text) {
                let package = Package::parse(paragraph, repository)
                    .ok_or_else(|| Error::corrupt("the package index has an entry that makes no sense"))?;
                if package.architecture == architecture || package.architecture == "all" {
                    index.add(package);
                }
            }
        }
        index.note_providers();
        Ok(index)
    }

    fn add(&mut self, package: Package<'a>) {
        match self.by_name.get(package.name) {
            Some(&at) if version::compare(package.version, self.packages[at].version).is_le() => {}
            Some(&at) => self.packages[at] = package,
            None => {
                self.by_name.insert(package.name, self.packages.len());
                self.packages.push(package);
            }
        }
    }

    fn note_providers(&mut self) {
        for (at, package) in self.packages.iter().enumerate() {
            for provided in package.provides() {
                self.providers.entry(provided.name).or_default().push(at);
            }
        }
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&Package<'a>> {
        self.by_name.get(name).map(|&at| &self.packages[at])
    }

    /// Every package, in the order of the index.
    pub fn iter(&self) -> impl Iterator<Item = &Package<'a>> {
        self.packages.iter()
    }

    /// The packages that satisfy a relation: the one of that name first, then those that provide it,
    /// those that every system has before others.
    pub fn candidates(&self, relation: &Relation<'_>) -> Vec<&Package<'a>> {
        let real = self.get(relation.name).filter(|package| package.satisfies(relation));
        let mut virtuals: Vec<_> =
            self.providers.get(relation.name).into_iter().flatten().map(|&at| &self.packages[at]).collect();
        virtuals.retain(|package| package.name != relation.name && package.satisfies(relation));
        virtuals.sort_by_key(|package| (!package.required, package.name));
        virtuals.dedup_by_key(|package| package.name);
        real.into_iter().chain(virtuals).collect()
    }
}
