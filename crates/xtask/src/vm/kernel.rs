//! Debian's cloud kernel, out of its package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{quietly, words};

/// The package that always depends on the newest one of its kind.
const NEWEST: &str = "linux-image-cloud-amd64";

/// A kernel and its modules.
#[derive(Debug)]
pub struct Kernel {
    /// What the machine boots.
    pub image: PathBuf,
    /// The folder that holds `lib/modules`.
    pub tree: PathBuf,
    /// Version, the name of the folder below `lib/modules`.
    pub version: String,
}

/// Unpacks the kernel below `folder`, once for each version.
pub fn fetch(folder: &Path) -> Result<Kernel> {
    if let Some(kernel) = unpacked(folder) {
        return Ok(kernel);
    }
    println!("fetching {NEWEST} from Debian's registry: the virtual machine's kernel");
    let tree = folder.join("kernel.new");
    remove(&tree)?;
    fs::create_dir_all(&tree)?;
    // The lists of packages may be missing or older than what the registry still has.
    let archive = download(&tree).or_else(|_| {
        quietly(&mut words("apt-get update --quiet"))?;
        download(&tree)
    })?;
    quietly(words("dpkg-deb --extract").arg(&archive).arg(&tree))?;
    fs::remove_file(&archive)?;
    let finished = folder.join("kernel");
    remove(&finished)?;
    fs::rename(&tree, &finished)?;
    unpacked(folder).context("the package holds no kernel")
}

fn unpacked(folder: &Path) -> Option<Kernel> {
    let tree = folder.join("kernel");
    let modules = entries(&tree.join("lib/modules")).into_iter().next()?;
    let version = modules.file_name()?.to_str()?.to_owned();
    let image = tree.join("boot").join(format!("vmlinuz-{version}"));
    image.is_file().then_some(Kernel { image, tree, version })
}

/// Downloads the concrete package that [`NEWEST`] depends on, which carries the version in its name.
fn download(folder: &Path) -> Result<PathBuf> {
    let depends = quietly(&mut words(&format!("apt-cache depends {NEWEST}")))?;
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let image = image.with_context(|| format!("the registry knows no {NEWEST}"))?;
    quietly(words("apt-get download").arg(image).current_dir(folder))?;
    let archive = entries(folder).into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    archive.with_context(|| format!("apt-get has downloaded no {image}"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Removes a folder that may not be there.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
