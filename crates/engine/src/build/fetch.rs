//! What builds name by an address of the web.

use std::fs::{self, File, FileTimes};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use wharf_build::files;
use wharf_build::host::Download;
use wharf_types::{Error, Result, ResultExt};

use super::{ContextLease, Contexts, git};
use crate::image::Images;

/// What a file is called whose address has no name.
const NAMELESS: &str = "download";

/// Fetches one file into a folder.
pub(super) async fn file(images: &Images, url: &str, into: PathBuf) -> Result<Download> {
    let mut download = images.download(url).await.context(format!("failed to load {url}"))?;
    let name = name_of(url, download.header("content-disposition"));
    let path = into.join(&name);
    let modified = download.header("last-modified").and_then(time);
    let broken = || format!("cannot write {}", path.display());
    let mut file = tokio::fs::File::create(&path).await.with_context(broken)?;
    while let Some(piece) = download.next().await? {
        file.write_all(&piece).await.with_context(broken)?;
    }
    file.flush().await.with_context(broken)?;
    let file = file.into_std().await;
    // Where the server says nothing, the time says nothing either.
    let times = FileTimes::new().set_modified(modified.unwrap_or(SystemTime::UNIX_EPOCH));
    file.set_times(times).with_context(broken)?;
    Ok(Download { path, name })
}

/// Fetches a context.
pub(super) async fn context(images: &Images, contexts: &Contexts, address: &str) -> Result<ContextLease> {
    let fresh = contexts.fresh().await?;
    if git::Address::read(address).is_some() {
        let cloned = git::clone(address, false, fresh.path.clone()).await?;
        return contexts.lease_fresh(fresh, &cloned.folder).await;
    }
    if !(address.starts_with("http://") || address.starts_with("https://")) {
        return Err(Error::invalid(format!("{address} is no address that a context can come from"))
            .with_hint("git, http and https are known"));
    }
    let download = file(images, address, fresh.path.clone()).await?;
    let path = download.path.clone();
    let archive = crate::blocking(move || open_archive(&path)).await?;
    match archive {
        Some(archive) => contexts.receive(archive).await,
        None => {
            // A text alone is the Dockerfile.
            let (from, to) = (download.path, fresh.path.join("Dockerfile"));
            crate::blocking(move || fs::rename(&from, &to).context("cannot keep the Dockerfile")).await?;
            contexts.lease_fresh(fresh, "").await
        }
    }
}

fn open_archive(path: &Path) -> Result<Option<File>> {
    let broken = || format!("cannot read {}", path.display());
    let file = OwnedFd::from(File::open(path).with_context(broken)?);
    let is_archive = files::is_archive(&file)?;
    Ok(is_archive.then(|| File::from(file)))
}

/// By the answer, or else by the address.
fn name_of(url: &str, disposition: Option<&str>) -> String {
    let told = disposition.and_then(|text| {
        let part = text.split(';').map(str::trim).find_map(|part| part.strip_prefix("filename="))?;
        Some(part.trim_matches('"').to_owned())
    });
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
    let is_name = |name: &String| !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    told.filter(is_name).or_else(|| Some(last.to_owned()).filter(is_name)).unwrap_or_else(|| NAMELESS.to_owned())
}

/// A date as HTTP writes it (RFC 9110, 5.6.7).
fn time(text: &str) -> Option<SystemTime> {
    let seconds = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names() {
        assert_eq!(name_of("http://h/a/b.tar?x=/y", None), "b.tar");
        assert_eq!(name_of("http://h/a", Some("attachment; filename=\"c.txt\"")), "c.txt");
        assert_eq!(name_of("http://h/a", Some("attachment; filename=\"../c\"")), "a");
        assert_eq!(name_of("http://h", None), NAMELESS);
        assert_eq!(name_of("http://h/..", None), NAMELESS);
    }

    #[test]
    fn dates_of_servers_are_read() {
        let read = time("Tue, 15 Nov 1994 12:45:26 GMT").unwrap();
        assert_eq!(read.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_903_526);
    }
}
