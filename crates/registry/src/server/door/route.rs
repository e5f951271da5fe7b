//! Which part of the registry a path means.

use wharf_types::Digest;

use crate::server::names::{self, Name, Refer};
use crate::server::problem::{Answered, Problem};

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/NAME/tags/list`.
    Tags(Name),
    /// `/v2/NAME/manifests/REFERENCE`.
    Manifest(Name, Refer),
    /// `/v2/NAME/blobs/DIGEST`.
    Blob(Name, Digest),
    /// `/v2/NAME/blobs/uploads/`.
    Uploads(Name),
    /// `/v2/NAME/blobs/uploads/ID`.
    Upload(Name, String),
    /// `/v2/NAME/referrers/DIGEST`.
    Referrers(Name, Digest),
    /// `/token`.
    Token,
    /// `/health`.
    Health,
    /// `/metrics`.
    Metrics,
    /// The web page and what belongs to it.
    Page(&'static super::page::Asset),
}

impl Route {
    /// Reads a path. Names have slashes, so it is read from its end.
    pub fn read(path: &str) -> Answered<Self> {
        let Some(path) = path.strip_prefix("/v2") else { return Self::outside(path) };
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let name = |parts: &[&str]| parts.join("/").parse::<Name>();
        match &parts[..] {
            [""] => Ok(Self::Base),
            ["_catalog"] => Ok(Self::Catalog),
            [of @ .., "tags", "list"] => Ok(Self::Tags(name(of)?)),
            [of @ .., "blobs", "uploads"] | [of @ .., "blobs", "uploads", ""] => Ok(Self::Uploads(name(of)?)),
            [of @ .., "blobs", "uploads", id] => Ok(Self::Upload(name(of)?, (*id).to_owned())),
            [of @ .., "blobs", digest] => Ok(Self::Blob(name(of)?, names::digest(digest)?)),
            [of @ .., "manifests", reference] => Ok(Self::Manifest(name(of)?, reference.parse()?)),
            [of @ .., "referrers", digest] => Ok(Self::Referrers(name(of)?, names::digest(digest)?)),
            _ => Err(Problem::no_such_path("a registry has nothing at this path")),
        }
    }

    fn outside(path: &str) -> Answered<Self> {
        match path {
            "/token" => Ok(Self::Token),
            "/health" => Ok(Self::Health),
            "/metrics" => Ok(Self::Metrics),
            _ => super::page::find(path)
                .map(Self::Page)
                .ok_or_else(|| Problem::no_such_path("there is nothing at this path; the API begins at /v2/")),
        }
    }

    /// A word for metrics: few of them, whatever clients ask for.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags(_) => "tags",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) | Self::Upload(..) => "upload",
            Self::Referrers(..) => "referrers",
            Self::Token => "token",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Page(_) => "page",
        }
    }

    /// The repository that it is about.
    #[cfg(test)]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_may_hold_the_words_of_paths() {
        let digest = Digest::of(b"x");
        for (path, label, name) in [
            ("/v2/", "base", None),
            ("/v2", "base", None),
            ("/v2/_catalog", "catalog", None),
            ("/v2/a/b/tags/list", "tags", Some("a/b")),
            ("/v2/tags/list/tags/list", "tags", Some("tags/list")),
            ("/v2/blobs/uploads/manifests/latest", "manifest", Some("blobs/uploads")),
            ("/v2/blobs/blobs/uploads/", "upload", Some("blobs")),
            ("/v2/a/blobs/uploads/00", "upload", Some("a")),
            (&format!("/v2/a/blobs/{digest}"), "blob", Some("a")),
            (&format!("/v2/manifests/referrers/{digest}"), "referrers", Some("manifests")),
        ] {
            let route = Route::read(path).unwrap();
            assert_eq!((route.label(), route.name().map(Name::as_str)), (label, name), "{path}");
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (path, code) in [
            ("/v2/A/tags/list", "NAME_INVALID"),
            ("/v2//tags/list", "NAME_INVALID"),
            ("/v2/../x/tags/list", "NAME_INVALID"),
            ("/v2/a/blobs/sha256:1", "DIGEST_INVALID"),
            ("/v2/a/blobs/latest", "DIGEST_INVALID"),
            ("/v2/a/manifests/-x", "MANIFEST_INVALID"),
            ("/v2/a/manifests/sha256:zz", "DIGEST_INVALID"),
            ("/v2/a", "UNSUPPORTED"),
            ("/etc/passwd", "UNSUPPORTED"),
        ] {
            assert_eq!(Route::read(path).unwrap_err().code, code, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_answered_and_no_name_leaves_its_folder(path in "/v2/[a-zA-Z0-9./:_@%-]{0,80}|\\PC{0,60}") {
            if let Ok(route) = Route::read(&path) && let Some(name) = route.name() {
                prop_assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.starts_with('.')));
            }
        }
    }
}
