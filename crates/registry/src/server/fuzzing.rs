//! What strangers send to the server, read as it reads it; for the fuzz targets only.

use super::auth;
use super::door::range::{self, Wanted};
use super::names::Name;
use super::registry::manifest::Manifest;

/// Headers: who somebody says to be, and which bytes somebody wants. Fails where an answer is not possible.
pub fn header(text: &str) -> Result<(), &'static str> {
    if auth::lets_in_a_stranger(text) {
        return Err("a token that nobody has signed was accepted");
    }
    for size in [0, 1, 1000, u64::MAX] {
        if let Wanted::Part(range) = range::read(text, size)
            && (range.is_empty() || range.end > size)
        {
            return Err("a range reaches beyond the content");
        }
    }
    Ok(())
}

/// A manifest that is pushed. Fails where it reads differently when it is asked for again.
pub fn document(bytes: &[u8]) -> Result<(), &'static str> {
    let Ok(first) = Manifest::read(bytes, None) else { return Ok(()) };
    let again = Manifest::read(bytes, Some(&first.media_type)).map_err(|_| "it is not what it was")?;
    let same = (&again.media_type, &again.blobs, &again.manifests, again.subject)
        == (&first.media_type, &first.blobs, &first.manifests, first.subject);
    if same { Ok(()) } else { Err("it names other content the second time") }
}

/// The name of a repository. Fails where a folder of that name would be somewhere else.
pub fn name(text: &str) -> Result<(), &'static str> {
    match text.parse::<Name>() {
        Ok(name) if name.as_str().split('/').any(|part| part.is_empty() || part.starts_with(['.', '_'])) => {
            Err("a name leads elsewhere")
        }
        _ => Ok(()),
    }
}
