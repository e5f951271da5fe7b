//! Repositories, by the host's own `git`.
//!
//! It is the one thing of a build that is not written here: a client of git's protocols with its transports, deltas and
//! submodules would be a third of the engine, for a rare need. The program is not needed for anything else.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use wharf_build::host::Cloned;
use wharf_types::{Error, Result, ResultExt};

/// What an address says beside the repository's own: `URL[#REF[:FOLDER]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: String,
    /// A branch, a tag or a commit; the repository's own choice where it is empty.
    pub(super) reference: String,
    pub(super) folder: String,
}

impl Address {
    /// Reads an address; `None` for one of something else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (url, rest) = text.split_once('#').unwrap_or((text, ""));
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        let has_scheme = ["git://", "ssh://", "git@"].iter().any(|scheme| url.starts_with(scheme));
        let is_hosted = url.starts_with("github.com/");
        if !(has_scheme || is_hosted || is_web && url.trim_end_matches('/').ends_with(".git")) {
            return None;
        }
        let (reference, folder) = rest.split_once(':').unwrap_or((rest, ""));
        let url = if is_hosted { format!("https://{url}") } else { url.to_owned() };
        Some(Self { url, reference: reference.to_owned(), folder: folder.trim_matches('/').to_owned() })
    }

    fn check(&self) -> Result<()> {
        let is_plain = |text: &str| !text.starts_with('-') && !text.contains(['\0', '\n']);
        let stays = !self.folder.split('/').any(|part| part == "..");
        if is_plain(&self.url) && is_plain(&self.reference) && stays {
            return Ok(());
        }
        Err(Error::invalid(format!("invalid address of a repository: {}#{}:{}", self.url, self.reference, self.folder)))
    }
}

/// Fetches one commit with its submodules.
pub(super) async fn clone(address: &str, keep_git_dir: bool, into: PathBuf) -> Result<Cloned> {
    let read = Address::read(address).ok_or_else(|| Error::invalid(format!("{address} is no repository")))?;
    read.check()?;
    let git = Git { folder: &into };
    git.run(&["init", "--quiet", "--initial-branch=main"]).await?;
    let wanted = if read.reference.is_empty() { "HEAD" } else { &read.reference };
    let shallow = git.run(&["fetch", "--quiet", "--depth=1", "--no-tags", "--", &read.url, wanted]).await;
    let commit = match shallow {
        Ok(_) => "FETCH_HEAD".to_owned(),
        // Some servers give no single commits, and some only everything.
        Err(first) => {
            let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/wharf/head"];
            let fetch = [&["fetch", "--quiet", "--no-tags", "--", &read.url][..], &all].concat();
            if git.run(&fetch).await.is_err() {
                return Err(first);
            }
            git.find(wanted).await?
        }
    };
    git.run(&["checkout", "--quiet", "--detach", &commit, "--"]).await?;
    if into.join(".gitmodules").exists() {
        git.run(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]).await?;
    }
    let commit = git.run(&["rev-parse", "HEAD"]).await?.trim().to_owned();
    if keep_git_dir {
        // Where the commit came from is all that these say, and they have the time in them.
        for name in ["FETCH_HEAD", "ORIG_HEAD", "logs"] {
            remove(&into.join(".git").join(name)).await?;
        }
    } else {
        remove(&into.join(".git")).await?;
    }
    Ok(Cloned { commit, folder: read.folder })
}

async fn remove(path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let path = path.to_owned();
    crate::blocking(move || {
        let Ok(data) = std::fs::symlink_metadata(&path) else { return Ok(()) };
        let removed = if data.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {shown}"))
    })
    .await
}

/// The program, in one folder.
struct Git<'a> {
    folder: &'a Path,
}

impl Git<'_> {
    /// Runs it, and answers what it wrote. Nothing of the host's or anybody's configuration counts, and it asks nobody.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]);
        command.args(arguments).current_dir(self.folder).stdin(Stdio::null()).kill_on_drop(true);
        command
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE");
        let output = command.output().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::unavailable("repositories are fetched by the program git, which this host does not have")
                    .with_hint("install git beside the engine, or send the files as the context")
            }
            _ => Error::system("cannot run git").caused_by(error),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.trim().lines().last().unwrap_or("it gave no reason").to_owned();
        Err(Error::invalid(format!("failed to fetch the repository: git {}: {why}", arguments[0])))
    }

    /// A commit by whatever names it, once everything was fetched.
    async fn find(&self, wanted: &str) -> Result<String> {
        let branch = format!("refs/remotes/origin/{wanted}");
        let tag = format!("refs/tags/{wanted}");
        let candidates = if wanted == "HEAD" { vec!["refs/wharf/head"] } else { vec![&*branch, &*tag, wanted] };
        for candidate in candidates {
            let commit = format!("{candidate}^{{commit}}");
            if let Ok(found) = self.run(&["rev-parse", "--verify", "--quiet", &commit]).await {
                return Ok(found.trim().to_owned());
            }
        }
        Err(Error::not_found(format!("the repository has no branch, tag or commit {wanted}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_others() {
        let read = |text| Address::read(text).map(|found| (found.url, found.reference, found.folder));
        let of =
            |url: &str, reference: &str, folder: &str| Some((url.to_owned(), reference.to_owned(), folder.to_owned()));
        assert_eq!(read("https://h/a.git"), of("https://h/a.git", "", ""));
        assert_eq!(read("https://h/a.git#main:sub/dir"), of("https://h/a.git", "main", "sub/dir"));
        assert_eq!(read("git://h/a#:d"), of("git://h/a", "", "d"));
        assert_eq!(read("git@h:a/b"), of("git@h:a/b", "", ""));
        assert_eq!(read("github.com/a/b#v1"), of("https://github.com/a/b", "v1", ""));
        assert_eq!(read("https://h/a.tar.gz"), None);
        assert_eq!(read("folder.git"), None);
    }

    #[test]
    fn nothing_becomes_an_option_or_leads_out() {
        let refused = |text: &str| Address::read(text).unwrap().check().is_err();
        assert!(refused("git://h/a#--upload-pack=x"));
        assert!(refused("git://h/a#main:../.."));
        assert!(!refused("git://h/a#main:x"));
    }
}
