//! apt's own list of repositories: `sources.list` and `sources.list.d/*.{list,sources}` (sources.list(5)).

use crate::deb822::{Paragraph, paragraphs};
use std::path::{Path, PathBuf};
use wharf_types::{Result, ResultExt};

/// One binary repository that apt is told to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the repository is; the same content may be at several places.
    pub uris: Vec<String>,
    /// Suites, such as `bookworm` and `bookworm-updates`.
    pub suites: Vec<String>,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// The only keys that may sign it.
    pub signed_by: SignedBy,
}

/// Which keys may sign a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// Whatever the host trusts in general.
    Default,
    /// The keys of these files.
    Files(Vec<PathBuf>),
    /// An armored key that stands in the list itself.
    Inline(String),
}

/// Reads every list below apt's configuration folder (`/etc/apt`); lists that do not exist count as empty.
pub fn read(apt: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in list_files(apt)? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let is_deb822 = path.extension().is_some_and(|extension| extension == "sources");
        sources.extend(if is_deb822 { parse_deb822(&text) } else { parse_list(&text) });
    }
    Ok(sources)
}

fn list_files(apt: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = Some(apt.join("sources.list")).filter(|path| path.is_file()).into_iter().collect();
    let folder = apt.join("sources.list.d");
    if folder.is_dir() {
        let mut more = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "list" || extension == "sources") {
                more.push(path);
            }
        }
        more.sort();
        files.extend(more);
    }
    Ok(files)
}

/// Reads the one-line style: `deb [signed-by=/key.gpg] URI SUITE COMPONENT…`. Lines that make no sense are passed over.
pub fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| parse_line(line.split('#').next().unwrap_or_default())).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let signed_by = options
        .split_whitespace()
        .filter_map(|option| option.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("signed-by"))
        .map_or(SignedBy::Default, |(_, value)| parse_signed_by(value));
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), signed_by })
}

/// Reads the deb822 style. Paragraphs that are disabled or have no binary packages are passed over.
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line.trim_end(), "\n"]).collect();
    paragraphs(&text).filter_map(Paragraph::parse).filter_map(|paragraph| from_paragraph(&paragraph)).collect()
}

fn from_paragraph(paragraph: &Paragraph<'_>) -> Option<Source> {
    let off =
        |value: &str| ["no", "false", "without", "off", "disable"].iter().any(|no| value.eq_ignore_ascii_case(no));
    let owned = |name: &str| paragraph.words(name).map(str::to_owned).collect::<Vec<_>>();
    let usable = !paragraph.get("Enabled").is_some_and(off) && paragraph.words("Types").any(|kind| kind == "deb");
    usable.then(|| Source {
        uris: owned("URIs"),
        suites: owned("Suites"),
        components: owned("Components"),
        signed_by: paragraph.get("Signed-By").map_or(SignedBy::Default, parse_signed_by),
    })
}

/// A key block, file names, or fingerprints; fingerprints only narrow what the host trusts in general.
fn parse_signed_by(value: &str) -> SignedBy {
    if value.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        let unescape = |line: &str| if line.trim() == "." { String::new() } else { line.trim().to_owned() };
        return SignedBy::Inline(value.lines().map(|line| unescape(line) + "\n").collect());
    }
    let files: Vec<_> =
        value.split([',', ' ', '\n', '\t']).filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    if files.is_empty() { SignedBy::Default } else { SignedBy::Files(files) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_one_line_style() {
        let text = "# comment\n\ndeb [ arch=amd64 signed-by=/k.gpg ] http://mirror/debian bookworm main contrib # tail\n\
                    deb-src http://mirror/debian bookworm main\ndeb http://mirror/debian/ bookworm-updates main\nnonsense\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].uris, ["http://mirror/debian"]);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[0].signed_by, SignedBy::Files(vec!["/k.gpg".into()]));
        assert_eq!(sources[1].suites, ["bookworm-updates"]);
        assert_eq!(sources[1].signed_by, SignedBy::Default);
    }

    #[test]
    fn reads_the_paragraph_style() {
        let text = "Types: deb deb-src\n# a comment inside\nURIs: http://one/debian\n http://two/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /usr/share/keyrings/a.gpg\n\nTypes: deb\nURIs: http://off/debian\nSuites: x\nEnabled: no\n\n\
                    Types: deb-src\nURIs: http://src/\nSuites: x\n";
        let sources = parse_deb822(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].uris, ["http://one/debian", "http://two/debian"]);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
    }

    #[test]
    fn reads_an_inline_key() {
        let text = "Types: deb\nURIs: http://m/\nSuites: s\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let key = "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let SignedBy::Inline(found) = &parse_deb822(text)[0].signed_by else { panic!("not inline") };
        assert_eq!(found.trim_start(), key.trim_start());
    }

    #[test]
    fn reads_a_folder_in_order() {
        let apt = tempfile::tempdir().unwrap();
        std::fs::create_dir(apt.path().join("sources.list.d")).unwrap();
        std::fs::write(apt.path().join("sources.list"), "deb http://a/ s main\n").unwrap();
        std::fs::write(apt.path().join("sources.list.d/c.list"), "deb http://c/ s main\n").unwrap();
        std::fs::write(apt.path().join("sources.list.d/b.sources"), "Types: deb\nURIs: http://b/\nSuites: s\n")
            .unwrap();
        std::fs::write(apt.path().join("sources.list.d/ignored.save"), "deb http://d/ s main\n").unwrap();
        let uris: Vec<_> = read(apt.path()).unwrap().into_iter().flat_map(|source| source.uris).collect();
        assert_eq!(uris, ["http://a/", "http://b/", "http://c/"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(deb|Types: deb|[\\[\\]a-z:/ =#.\n]){0,40}") {
            let _ = (parse_list(&text), parse_deb822(&text));
        }
    }
}
