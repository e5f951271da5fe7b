//! `COPY` and `ADD`.

use super::heredoc::Heredoc;

/// What `COPY` and `ADD` have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// What is copied.
    pub sources: Vec<Origin>,
    /// To where.
    pub destination: String,
    /// `--from`: a stage, a named context or an image.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`: the layer does not depend on those below.
    pub link: bool,
    /// `--parents`: the folders of the sources are kept.
    pub parents: bool,
    /// `--exclude`, patterns of what stays behind.
    pub excludes: Vec<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--checksum` of a download.
    pub checksum: Option<String>,
    /// `--unpack`: whether archives are unpacked; local ones are by default, downloads are not.
    pub unpack: Option<bool>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A path, pattern, URL or repository.
    Path(String),
    /// A file of its own.
    Heredoc(Heredoc),
}
