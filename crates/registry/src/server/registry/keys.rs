//! The keys under which everything is.

use wharf_types::Digest;

use crate::server::names::Name;

/// `catalog/NAME`.
pub fn catalog(name: &Name) -> String {
    // No name has a comma, and the slash would make folders.
    format!("catalog/{}", name.as_str().replace('/', ","))
}

/// The repository of an entry below `catalog/`.
pub fn from_catalog(entry: &str) -> Option<Name> {
    entry.replace(',', "/").parse().ok()
}

/// The manifest itself.
pub fn manifest(name: &Name, digest: &Digest) -> String {
    format!("{}{}", manifests(name), digest.hex())
}

/// All manifests.
pub fn manifests(name: &Name) -> String {
    format!("repos/{name}/_manifests/")
}

/// A tag.
pub fn tag(name: &Name, tag: &str) -> String {
    format!("{}{tag}", tags(name))
}

/// All tags.
pub fn tags(name: &Name) -> String {
    format!("repos/{name}/_tags/")
}

/// A referrer's descriptor.
pub fn referrer(name: &Name, subject: &Digest, referrer: &Digest) -> String {
    format!("{}{}", referrers(name, subject), referrer.hex())
}

/// All referrers of a subject.
pub fn referrers(name: &Name, subject: &Digest) -> String {
    format!("repos/{name}/_referrers/{}.", subject.hex())
}

/// All marks of a repository.
pub fn all_marks(name: &Name) -> String {
    format!("repos/{name}/_marks/")
}

/// All marks of a manifest.
pub fn marks(name: &Name, digest: &Digest) -> String {
    format!("{}{}.", all_marks(name), digest.hex())
}

/// A tag that may stand for the manifest.
pub fn tagged(name: &Name, digest: &Digest, tag: &str) -> String {
    format!("{}t.{tag}", marks(name, digest))
}

/// An index that may have the manifest as a part.
pub fn parent(name: &Name, digest: &Digest, index: &Digest) -> String {
    format!("{}p.{}", marks(name, digest), index.hex())
}

/// The manifest was part of, or referred to, something that was deleted.
pub fn released(name: &Name, digest: &Digest) -> String {
    format!("{}r", marks(name, digest))
}

/// The manifest has lost a tag.
pub fn untagged(name: &Name, digest: &Digest) -> String {
    format!("{}u", marks(name, digest))
}

/// The manifest came from upstream.
pub fn cached(name: &Name, digest: &Digest) -> String {
    format!("{}c", marks(name, digest))
}

/// What a mark says of a manifest, from its file's name.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// See [`tagged`].
    Tagged(String),
    /// See [`parent`].
    Parent(Digest),
    /// See [`released`].
    Released,
    /// See [`untagged`].
    Untagged,
    /// See [`cached`].
    Cached,
}

/// Reads the name of a mark: the manifest and what is said of it.
pub fn read_mark(entry: &str) -> Option<(Digest, Mark)> {
    let (digest, rest) = entry.split_once('.')?;
    let digest = Digest::from_hex(digest).ok()?;
    let mark = match rest.split_once('.') {
        Some(("t", tag)) => Mark::Tagged(tag.to_owned()),
        Some(("p", index)) => Mark::Parent(Digest::from_hex(index).ok()?),
        None if rest == "r" => Mark::Released,
        None if rest == "u" => Mark::Untagged,
        None if rest == "c" => Mark::Cached,
        _ => return None,
    };
    Some((digest, mark))
}

/// All uses of blobs whose digest begins with this byte.
pub fn uses_from(first: u8) -> String {
    format!("uses/{first:02x}/")
}

/// All uses of a blob.
pub fn uses(blob: &Digest) -> String {
    let hex = blob.hex();
    format!("uses/{}/{hex}.", &hex[..2])
}

/// The repository has the blob.
pub fn link(name: &Name, blob: &Digest) -> String {
    format!("{}{}", uses(blob), name.key())
}

/// A manifest of the repository may name the blob.
pub fn reference(name: &Name, blob: &Digest, manifest: &Digest) -> String {
    format!("{}.{}", link(name, blob), manifest.hex())
}

/// A use of a blob, from its file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The blob.
    pub blob: Digest,
    /// The repository's key.
    pub repository: String,
    /// The manifest, if this is more than that the repository has the blob.
    pub manifest: Option<Digest>,
}

/// Reads the name of a use.
pub fn read_use(entry: &str) -> Option<Use> {
    let mut parts = entry.split('.');
    let blob = Digest::from_hex(parts.next()?).ok()?;
    let repository = parts.next()?.to_owned();
    let manifest = parts.next().map(Digest::from_hex).transpose().ok()?;
    Some(Use { blob, repository, manifest })
}

/// An upload.
pub fn upload(id: &str) -> String {
    format!("uploads/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(key: &str) -> &str {
        key.rsplit_once('/').unwrap().1
    }

    #[test]
    fn names_of_marks_and_uses_read_back() {
        let name: Name = "a/b-c.d".parse().unwrap();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        for (key, mark) in [
            (tagged(&name, &one, "v1.0.p.r"), Mark::Tagged("v1.0.p.r".to_owned())),
            (parent(&name, &one, &two), Mark::Parent(two)),
            (released(&name, &one), Mark::Released),
            (untagged(&name, &one), Mark::Untagged),
            (cached(&name, &one), Mark::Cached),
        ] {
            assert_eq!(read_mark(last(&key)), Some((one, mark)));
            assert!(last(&key).len() <= 255);
        }
        let of = |manifest| Some(Use { blob: one, repository: name.key(), manifest });
        assert_eq!(read_use(last(&link(&name, &one))), of(None));
        assert_eq!(read_use(last(&reference(&name, &one, &two))), of(Some(two)));
        assert_eq!(from_catalog(last(&catalog(&name))), Some(name));
    }
}
