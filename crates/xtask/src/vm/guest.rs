//! Booting the machine and listening to it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::kernel::{Kernel, remove};
use crate::command::{quietly, words};

/// How long the machine may run. Emulated, on two busy processors.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const MEMORY: &str = "2048";
const RESULT: &str = "WHARF-VM-EXIT ";

/// Drivers of the disk, in the order in which they need each other.
const DRIVERS: [&str; 6] = [
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
];

const FIRST_PROGRAM: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for driver in /drivers/*.ko; do /bin/busybox insmod $driver; done
while [ ! -e /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /disk
/bin/busybox umount /dev
exec /bin/busybox switch_root /disk /lib/systemd/systemd
";

/// Packs the second disk: the script and the programs it starts, without their debugging information.
pub fn payload(folder: &Path, script: &str, programs: &[(String, PathBuf)]) -> Result<PathBuf> {
    let path = folder.join("payload.tar");
    let mut archive = tar::Builder::new(File::create(&path)?);
    let content = folder.join("script");
    fs::write(&content, format!("{script}\n"))?;
    archive.append_path_with_name(&content, "script")?;
    for (name, program) in programs {
        let stripped = folder.join(name);
        quietly(words("strip -o").arg(&stripped).arg(program))?;
        archive.append_path_with_name(&stripped, name)?;
    }
    archive.finish()?;
    Ok(path)
}

/// Boots, shows what the machine reports and gives the exit code it ended with, if it came to that.
pub fn boot(folder: &Path, kernel: &Kernel, disk: &Path, payload: &Path) -> Result<Option<i32>> {
    let first = first_file_system(folder, kernel)?;
    let mut machine = start(folder, kernel, &first, disk, payload)?;
    let output = machine.stdout.take().context("the machine has a serial port")?;
    let watch = Watch::over(machine);
    let mut code = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        match line.strip_prefix(RESULT) {
            Some(number) => code = number.trim().parse().ok(),
            None => println!("  vm| {line}"),
        }
        std::io::stdout().flush()?;
    }
    watch.join()?;
    Ok(code)
}

fn start(folder: &Path, kernel: &Kernel, first: &Path, disk: &Path, payload: &Path) -> Result<Child> {
    let kernel_arguments = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nowatchdog audit=0 net.ifnames=0 \
                            systemd.unit=payload.service systemd.show_status=0 systemd.unified_cgroup_hierarchy=1";
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY, "-nodefaults", "-no-reboot"]);
    command.args(["-display", "none", "-append", kernel_arguments]);
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(first);
    command.arg("-serial").arg(format!("file:{}", folder.join("console.log").display())).args(["-serial", "stdio"]);
    // Writes to the disk go to a file that is gone with the machine.
    command.arg("-drive").arg(format!("file={},format=raw,if=virtio,snapshot=on", disk.display()));
    command.arg("-drive").arg(format!("file={},format=raw,if=virtio,readonly=on", payload.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start qemu-system-x86_64")
}

/// The archive with which the kernel starts: busybox and the drivers.
fn first_file_system(folder: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let tree = folder.join("first");
    remove(&tree)?;
    for name in ["bin", "dev", "disk", "drivers"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy(wharf_testkit::golden::busybox_path(), tree.join("bin/busybox"))?;
    let drivers = kernel.tree.join("lib/modules").join(&kernel.version).join("kernel/drivers");
    for (number, driver) in DRIVERS.iter().enumerate() {
        let from = drivers.join(format!("{driver}.ko"));
        // A driver that is built into the kernel has no file.
        if from.exists() {
            fs::copy(from, tree.join(format!("drivers/{number}.ko")))?;
        }
    }
    fs::write(tree.join("init"), FIRST_PROGRAM)?;
    quietly(words("chmod 755").arg(tree.join("init")))?;
    let archive = folder.join("first.cpio");
    let mut pack = Command::new("sh");
    pack.arg("-c").arg("find . | busybox cpio -o -H newc > \"$0\"").arg(&archive).current_dir(&tree);
    quietly(&mut pack)?;
    Ok(archive)
}

/// Ends the machine when its time is over.
struct Watch(std::thread::JoinHandle<std::io::Result<()>>);

impl Watch {
    fn over(mut machine: Child) -> Self {
        Self(std::thread::spawn(move || {
            let end = Instant::now() + PATIENCE;
            while machine.try_wait()?.is_none() {
                if Instant::now() > end {
                    machine.kill()?;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }))
    }

    fn join(self) -> Result<()> {
        Ok(self.0.join().unwrap_or_else(|_| Err(std::io::Error::other("the watch over the machine has failed")))?)
    }
}
