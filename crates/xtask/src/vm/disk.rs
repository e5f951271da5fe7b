//! The machine's disk: a small Debian with systemd, and one unit that runs what is on the second disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::kernel::{Kernel, remove};
use crate::command::{quietly, words};

/// Changes whenever the recipe below does, so that old disks are not used with it.
const RECIPE: u32 = 1;
const SUITE: &str = "bookworm";
const PACKAGES: &str = "systemd-sysv,udev,kmod,iproute2,nftables,busybox-static";

const UNIT: &str = "[Unit]
Description=What is on the second disk
DefaultDependencies=no
After=sysinit.target basic.target systemd-udev-settle.service
Requires=sysinit.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/payload
StandardOutput=null
StandardError=null
Delegate=yes
TimeoutStartSec=infinity
";

const PAYLOAD: &str = "#!/bin/sh
# Runs the second disk, an archive, and reports over the second serial port.
exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw
mkdir -p /payload && tar -xf /dev/vdb -C /payload
cd /payload
sh ./script
echo \"WHARF-VM-EXIT $?\"
sync
poweroff -ff
";

/// Makes the disk where there is none of this recipe and kernel.
pub fn make(folder: &Path, kernel: &Kernel, fresh: bool) -> Result<PathBuf> {
    let disk = folder.join(format!("disk-{SUITE}-{RECIPE}-{}.ext4", kernel.version));
    if disk.exists() && !fresh {
        return Ok(disk);
    }
    println!("making the virtual machine's disk: Debian {SUITE} by debootstrap, about a minute");
    let tree = folder.join("tree");
    remove(&tree)?;
    bootstrap(folder, &tree)?;
    complete(&tree, kernel)?;
    let unfinished = disk.with_extension("new");
    quietly(words("mke2fs -q -t ext4 -F -d").arg(&tree).arg(&unfinished).arg("1500M"))?;
    fs::rename(&unfinished, &disk)?;
    remove(&tree)?;
    Ok(disk)
}

fn bootstrap(folder: &Path, tree: &Path) -> Result<()> {
    let cache = folder.join("packages");
    fs::create_dir_all(&cache)?;
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={PACKAGES}"), &format!("--cache-dir={}", cache.display())]);
    quietly(command.arg(SUITE).arg(tree).arg(mirror()?))?;
    Ok(())
}

/// Debian's mirror as the host's own apt names it.
fn mirror() -> Result<String> {
    let targets =
        quietly(words("apt-get indextargets --format $(SITE)|$(ORIGIN)|$(CODENAME)").arg("Created-By: Packages"))?;
    let debian = targets.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let site = debian.filter(|fields| fields.get(1) == Some(&"Debian")).find(|fields| fields.get(2) == Some(&SUITE));
    let site = site.and_then(|fields| fields.first().map(ToString::to_string));
    site.with_context(|| format!("no apt source of this host names a mirror of Debian {SUITE}"))
}

fn complete(tree: &Path, kernel: &Kernel) -> Result<()> {
    let modules = tree.join("lib/modules");
    fs::create_dir_all(&modules)?;
    quietly(words("cp -a").arg(kernel.tree.join("lib/modules").join(&kernel.version)).arg(&modules))?;
    quietly(words("chroot").arg(tree).args(["depmod", &kernel.version]))?;
    let units = tree.join("etc/systemd/system");
    fs::write(units.join("payload.service"), UNIT)?;
    fs::write(tree.join("usr/local/sbin/payload"), PAYLOAD)?;
    quietly(words("chmod 755").arg(tree.join("usr/local/sbin/payload")))?;
    fs::write(tree.join("etc/machine-id"), "6a1d3c0e5b7f4c2d9e8f0a1b2c3d4e5f\n")?;
    fs::write(tree.join("etc/fstab"), "tmpfs /tmp tmpfs mode=1777 0 0\n")?;
    // Nobody logs in, nothing is updated, and every unit costs a second on an emulated processor.
    for unit in ["systemd-resolved", "systemd-timesyncd", "systemd-networkd", "e2scrub_reap", "systemd-random-seed"] {
        let link = units.join(format!("{unit}.service"));
        symlink("/dev/null", &link).with_context(|| format!("cannot write {}", link.display()))?;
    }
    Ok(())
}
