//! What a name or id means, and what happens to entries when a name moves.

use wharf_types::{DEFAULT_TAG, Digest, Error, Kind, Reference, Result};

use crate::catalog::{Catalog, Entry};
use crate::{Image, ImageId};

/// Docker's order: a name first, then an id.
pub(crate) fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a std::sync::Arc<Image>> {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    if let Ok(id) = Digest::from_hex(digits) {
        return catalog.get(&id).ok_or_else(|| no_such_image(&id.to_string()));
    }
    let reference = name.parse::<Reference>();
    if let Ok(reference) = &reference
        && let Some(image) = catalog.by_name(&reference.clone().or_latest())
    {
        return Ok(image);
    }
    match (catalog.by_prefix(digits)?, reference) {
        (Some(image), _) => Ok(image),
        (None, Ok(reference)) => Err(no_such_image(&reference.or_latest().familiar())),
        (None, Err(error)) => Err(Error::new(Kind::InvalidParameter, error.to_string())
            .with_hint(format!("a name looks like [registry/]repository[:tag], for instance debian:{DEFAULT_TAG}"))),
    }
}

/// Docker's words.
pub(crate) fn no_such_image(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// Whether `name` means an image by its id rather than by a name.
pub(crate) fn is_id(catalog: &Catalog, name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_name = name.parse::<Reference>().is_ok_and(|name| catalog.by_name(&name.or_latest()).is_some());
    Digest::from_hex(digits).is_ok() || !is_name
}

/// Gives an image one more name. An image that loses its last name stays as a dangling one.
pub(crate) fn set_name(entries: &mut Vec<Entry>, image: Entry, name: &Reference) {
    if let Some(old) = entries.iter_mut().find(|entry| entry.name.as_ref() == Some(name)) {
        old.name = None;
    }
    entries.push(Entry { name: Some(name.clone()), ..image });
    drop_needless(entries);
}

/// Takes a name away from an image.
pub(crate) fn drop_name(catalog: &Catalog, entries: &mut Vec<Entry>, name: &Reference, id: ImageId) {
    for entry in entries.iter_mut().filter(|entry| catalog.id_of(entry) == Some(id)) {
        if entry.name.as_ref() == Some(name) {
            entry.name = None;
        }
    }
    drop_needless(entries);
}

/// An entry without a name is there only to keep a manifest that no other entry keeps.
pub(crate) fn drop_needless(entries: &mut Vec<Entry>) {
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let (named, nameless): (Vec<Entry>, Vec<Entry>) = entries.drain(..).partition(|entry| entry.name.is_some());
    kept.extend(named);
    for entry in nameless {
        if !kept.iter().any(|other| other.is_of_same_image(&entry)) {
            kept.push(entry);
        }
    }
    *entries = kept;
}
