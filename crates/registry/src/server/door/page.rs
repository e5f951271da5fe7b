//! The web page: a few files that are part of the program.

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    path: &'static str,
    /// Its type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset { path: "/", media_type: "text/html; charset=utf-8", bytes: include_bytes!("../page/index.html") },
    Asset { path: "/page.css", media_type: "text/css; charset=utf-8", bytes: include_bytes!("../page/page.css") },
    Asset { path: "/page.js", media_type: "text/javascript; charset=utf-8", bytes: include_bytes!("../page/page.js") },
];

/// Nothing but the registry itself is loaded or asked.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' \
                          data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at a path.
pub fn find(path: &str) -> Option<&'static Asset> {
    static FILES: [Asset; 3] = ASSETS;
    FILES.iter().find(|asset| asset.path == path)
}
