//! `cargo xtask deb` and `cargo xtask install`: wharf as a Debian package or straight into a folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cargo::cargo;
use crate::command;

/// Make a Debian package of wharf.
#[derive(clap::Args, Debug)]
pub struct DebArguments {
    /// Package this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the package goes
    #[arg(long, value_name = "DIR", default_value = "target")]
    out: PathBuf,
}

/// Install wharf with its manual pages, completion and systemd units.
#[derive(clap::Args, Debug)]
pub struct InstallArguments {
    /// Install this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where everything goes
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Put before all paths, for packagers
    #[arg(long, value_name = "DIR", default_value = "/")]
    destdir: PathBuf,
}

/// One file of the package: its path without the first slash, its mode, its content.
struct Item {
    path: String,
    mode: u32,
    bytes: Vec<u8>,
}

/// The groups whose members may use the engine, and the units.
const AFTER_INSTALLATION: &str = "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\
    \x20 getent group wharf >/dev/null || groupadd --system wharf\n\
    \x20 if [ -d /run/systemd/system ]; then\n\
    \x20   systemctl daemon-reload\n    systemctl enable --now wharf.socket\n  fi\nfi\n";
const BEFORE_REMOVAL: &str = "#!/bin/sh\nset -e\nif [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then\n\
    \x20 systemctl disable --now wharf.socket wharf.service\nfi\n";

/// Makes the package.
pub fn deb(arguments: &DebArguments) -> Result<()> {
    let items = items(arguments.binary.as_deref(), "usr", "lib/systemd/system")?;
    let size: usize = items.iter().map(|item| item.bytes.len()).sum();
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: wharf\nVersion: {version}\nArchitecture: {}\nMaintainer: The wharf authors <wharf@localhost>\n\
         Installed-Size: {}\nSection: admin\nPriority: optional\n\
         Description: container engine, image builder and registry in one program\n\
         \x20Builds container images, moves them between registries and runs them.\n\
         \x20Speaks the Docker Engine API and takes Docker's command line.\n",
        architecture(),
        size / 1024
    );
    let controls = [
        Item { path: "control".into(), mode: 0o644, bytes: control.into_bytes() },
        Item { path: "postinst".into(), mode: 0o755, bytes: AFTER_INSTALLATION.into() },
        Item { path: "prerm".into(), mode: 0o755, bytes: BEFORE_REMOVAL.into() },
    ];
    fs::create_dir_all(&arguments.out)?;
    let path = arguments.out.join(format!("wharf_{version}_{}.deb", architecture()));
    let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(b"!<arch>\n")?;
    member(&mut file, "debian-binary", b"2.0\n")?;
    member(&mut file, "control.tar.gz", &archive(&controls)?)?;
    member(&mut file, "data.tar.gz", &archive(&items)?)?;
    println!("{}", path.display());
    Ok(())
}

/// Installs.
pub fn install(arguments: &InstallArguments) -> Result<()> {
    let prefix = arguments.prefix.strip_prefix("/").context("the prefix is an absolute path")?;
    let prefix = prefix.to_str().context("the prefix is text")?;
    for item in items(arguments.binary.as_deref(), prefix, &format!("{prefix}/lib/systemd/system"))? {
        let path = arguments.destdir.join(&item.path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        // Beside it and then into its place: a program that runs cannot be written to.
        let aside = path.with_extension("new");
        fs::write(&aside, &item.bytes).with_context(|| format!("cannot write {}", aside.display()))?;
        fs::set_permissions(&aside, fs::Permissions::from_mode(item.mode))?;
        fs::rename(&aside, &path)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn items(binary: Option<&Path>, prefix: &str, units: &str) -> Result<Vec<Item>> {
    let binary = match binary {
        Some(path) => path.to_owned(),
        None => {
            command::run(&mut cargo("build --release --package wharf"))?;
            command::target().join(format!("{}-unknown-linux-gnu/release/wharf", std::env::consts::ARCH))
        }
    };
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut items = vec![Item { path: format!("{prefix}/bin/wharf"), mode: 0o755, bytes: read(&binary)? }];
    for unit in ["wharf.service", "wharf.socket"] {
        let text = String::from_utf8(read(&command::project().join("packaging").join(unit))?)?;
        let text = text.replace("/usr/bin/wharf", &format!("/{prefix}/bin/wharf"));
        items.push(Item { path: format!("{units}/{unit}"), mode: 0o644, bytes: text.into_bytes() });
    }
    for (shell, path) in [
        ("bash", "share/bash-completion/completions/wharf"),
        ("zsh", "share/zsh/vendor-completions/_wharf"),
        ("fish", "share/fish/vendor_completions.d/wharf.fish"),
    ] {
        let script = command::quietly(std::process::Command::new(&binary).args(["completion", shell]))?;
        items.push(Item { path: format!("{prefix}/{path}"), mode: 0o644, bytes: script.into_bytes() });
    }
    let pages = tempfile::tempdir()?;
    command::quietly(std::process::Command::new(&binary).args(["system", "man"]).arg(pages.path()))?;
    for page in fs::read_dir(pages.path())? {
        let page = page?;
        let name = page.file_name().to_string_lossy().into_owned();
        items.push(Item { path: format!("{prefix}/share/man/man1/{name}"), mode: 0o644, bytes: read(&page.path())? });
    }
    items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

/// A member of an archive of ar(5).
fn member(out: &mut impl Write, name: &str, bytes: &[u8]) -> Result<()> {
    ensure!(name.len() < 16, "the name of a member has at most 15 bytes");
    writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8o}{:<10}`", 0, 0, 0, 0o100_644, bytes.len())?;
    out.write_all(bytes)?;
    if bytes.len() % 2 == 1 {
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A tar stream of the items and the folders that they are in, compressed.
fn archive(items: &[Item]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut folders = std::collections::BTreeSet::new();
    for item in items {
        for folder in Path::new(&item.path).ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !folder.as_os_str().is_empty() && folders.insert(folder.to_owned()) {
                append(&mut archive, &format!("{}/", folder.display()), 0o755, tar::EntryType::Directory, &[])?;
            }
        }
        append(&mut archive, &item.path, item.mode, tar::EntryType::Regular, &item.bytes)?;
    }
    Ok(archive.into_inner()?.finish()?)
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    mode: u32,
    kind: tar::EntryType,
    bytes: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_own_program_reads_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.deb");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"!<arch>\n").unwrap();
        member(&mut file, "debian-binary", b"2.0\n").unwrap();
        let control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n";
        let item = |path: &str, bytes: &[u8]| Item { path: path.into(), mode: 0o644, bytes: bytes.to_vec() };
        member(&mut file, "control.tar.gz", &archive(&[item("control", control.as_bytes())]).unwrap()).unwrap();
        member(&mut file, "data.tar.gz", &archive(&[item("usr/share/x/y", b"odd")]).unwrap()).unwrap();
        drop(file);
        let Ok(output) = std::process::Command::new("dpkg-deb").arg("--contents").arg(&path).output() else {
            return println!("SKIPPED: dpkg-deb is not installed");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(" usr/share/x/y"), "{text}");
    }
}
