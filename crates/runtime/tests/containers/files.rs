use std::fs;

use wharf_runtime::spec::{Device, Mount, MountSource, Propagation, RootFs};

use super::harness::{Fixture, bind};

fn mount_table(output: &str) -> Vec<(String, String, String)> {
    let field = |line: &str, index: usize| line.split(' ').nth(index).unwrap().to_owned();
    output.lines().map(|line| (field(line, 1), field(line, 2), field(line, 3))).collect()
}

#[test]
fn the_standard_mounts_are_there_with_their_options() {
    let table = mount_table(&Fixture::new("cat /proc/mounts").output());
    let expect = |place: &str, kind: &str, options: &[&str]| {
        let (_, found, present) = table.iter().find(|row| row.0 == place).unwrap_or_else(|| panic!("no {place}"));
        assert_eq!(found, kind, "{place}");
        for option in options {
            assert!(present.split(',').any(|word| word == *option), "{place}: {option} is not in {present}");
        }
    };
    expect("/", "overlay", &["rw"]);
    expect("/proc", "proc", &["rw", "nosuid", "nodev", "noexec"]);
    expect("/dev", "tmpfs", &["rw", "nosuid", "size=65536k", "mode=755"]);
    expect("/dev/pts", "devpts", &["nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"]);
    expect("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "size=65536k"]);
    expect("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]);
    expect("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]);
    expect("/proc/sys", "proc", &["ro"]);
    assert!(!table.iter().any(|row| row.0.starts_with("/work") || row.0.starts_with("/mnt")), "{table:?}");
}

#[test]
fn the_devices_are_there_and_work() {
    let script = "stat -c '%n %F %a %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
                  for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; \
                  head -c 3 /dev/zero | wc -c; echo x > /dev/full || echo full; ls /dev | wc -l";
    let output = Fixture::new(script).output();
    assert!(output.contains("/dev/null character special file 666 1:3"), "{output}");
    assert!(output.contains("/dev/tty character special file 666 5:0"), "{output}");
    assert!(
        output.contains("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n"),
        "{output}"
    );
    assert!(output.ends_with("3\nsh: write error: No space left on device\nfull\n14\n"), "{output}");
}

#[test]
fn a_privileged_container_has_the_hosts_devices() {
    let mut fixture = Fixture::new("ls /dev; touch /sys/kernel/x; cat /proc/mounts");
    fixture.spec.privileged = true;
    fixture.spec.masked_paths.clear();
    fixture.spec.readonly_paths.clear();
    let output = fixture.run().output;
    assert!(output.contains("\nkmsg\n") && output.contains("\npts\n"), "{output}");
    assert!(output.contains("/sys sysfs rw,") && !output.contains("/proc/sys"), "{output}");
}

#[test]
fn a_listed_device_is_made() {
    let mut fixture = Fixture::new("stat -c '%a %u %t:%T' /dev/mapper/it; head -c 1 /dev/mapper/it | wc -c");
    fixture.spec.devices.push(Device {
        path: "/dev/mapper/it".to_owned(),
        block: false,
        major: 1,
        minor: 5,
        mode: 0o640,
        uid: 12,
        gid: 0,
        access: "rwm".to_owned(),
    });
    fixture.spec.process.capabilities.push("DAC_OVERRIDE".to_owned());
    assert_eq!(fixture.output(), "640 12 1:5\n1\n");
}

#[test]
fn writes_go_to_the_upper_layer_only() {
    let fixture = Fixture::new("echo new > /etc/new; echo changed > /etc/group");
    fixture.output();
    assert_eq!(fs::read_to_string(fixture.upper().join("etc/new")).unwrap(), "new\n");
    assert!(fs::read_to_string(fixture.image().join("etc/group")).unwrap().contains("staff"));
}

#[test]
fn many_layers_with_long_names() {
    let mut fixture = Fixture::new("cat /from-0 /from-1 /from-39 /same");
    let mut layers = Vec::new();
    for number in 0..40 {
        let layer = fixture.folder.path().join("l".repeat(200)).join("d".repeat(200)).join(format!("{number}:,"));
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join(format!("from-{number}")), format!("{number}\n")).unwrap();
        fs::write(layer.join("same"), format!("same {number}\n")).unwrap();
        layers.push(layer);
    }
    layers.push(fixture.image());
    let RootFs::Overlay { lower, .. } = &mut fixture.spec.root else { unreachable!() };
    *lower = layers;
    assert_eq!(fixture.output(), "0\n1\n39\nsame 0\n");
}

#[test]
fn a_root_without_layers_and_one_that_is_a_folder() {
    let mut fixture = Fixture::new("touch /made; ls /");
    let expected = "bin\ndev\netc\nmade\nproc\nroot\nsys\ntmp\n";
    let (upper, work) = (fixture.image(), fixture.folder.path().join("work"));
    fixture.spec.root = RootFs::Overlay { lower: Vec::new(), upper, work, volatile: false };
    assert_eq!(fixture.output(), expected);
    fs::remove_file(fixture.image().join("made")).unwrap();
    fixture.spec.root = RootFs::Directory(fixture.image());
    assert_eq!(fixture.output(), expected);
}

#[test]
fn a_read_only_root() {
    let mut fixture = Fixture::new("touch /x; touch /tmp/x || exit 5; echo y > /dev/shm/y && cat /dev/shm/y");
    fixture.spec.readonly_root = true;
    fixture.spec.mounts.push(tmpfs("/tmp", &["size=64k"]));
    let output = fixture.output();
    assert_eq!(output, "touch: /x: Read-only file system\ny\n");
}

fn tmpfs(destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        source: MountSource::Tmpfs,
        readonly: false,
        readonly_recursive: false,
        propagation: Propagation::Rprivate,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[test]
fn binds_of_folders_and_files() {
    let mut fixture =
        Fixture::new("cat /data/in/file /deep/er/file; echo out > /data/in/out; touch /ro/x; cat /ro/file");
    let source = fixture.folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content\n").unwrap();
    fixture.spec.mounts =
        vec![bind(&source, "/data/in"), bind(&source.join("file"), "/deep/er/file"), bind(&source, "/ro")];
    fixture.spec.mounts[2].readonly = true;
    assert_eq!(fixture.output(), "content\ncontent\ntouch: /ro/x: Read-only file system\ncontent\n");
    assert_eq!(fs::read_to_string(source.join("out")).unwrap(), "out\n");
}

#[test]
fn a_tmpfs_has_its_options_and_replaces_shm() {
    let mut fixture = Fixture::new("grep -E ' (/t|/dev/shm) ' /proc/mounts; stat -c %a /t; ls -a /dev/shm");
    fixture.spec.mounts =
        vec![tmpfs("/dev/shm", &["size=1m"]), tmpfs("/t", &["size=64k", "mode=1770", "noexec,nosuid"])];
    let output = fixture.output();
    assert!(output.contains("/dev/shm tmpfs rw,relatime,size=1024k"), "{output}");
    assert!(output.contains("/t tmpfs rw,nosuid,noexec,relatime,size=64k,mode=1770"), "{output}");
    assert_eq!(output.matches("/dev/shm").count(), 1, "{output}");
}

#[test]
fn masked_and_read_only_paths() {
    let script = "wc -c < /proc/interrupts; wc -c < /proc/timer_list; ls /sys/firmware | wc -l; \
                  touch /sys/firmware/x; echo 1 > /proc/sys/kernel/domainname; grep -cE '^proc /proc/(bus|fs|irq|sys) proc ro' /proc/mounts";
    let output = Fixture::new(script).run().output;
    let expected = "0\n0\n0\ntouch: /sys/firmware/x: Read-only file system\n\
                    sh: can't create /proc/sys/kernel/domainname: Read-only file system\n\
                    4\n";
    assert_eq!(output, expected);
}

#[test]
fn the_host_sees_no_mount_of_a_container() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let fixture = Fixture::new("echo up; sleep 60");
    let (_running, _reader) = fixture.start().unwrap();
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(), before);
}

/// A kernel of before 5.12 and 5.11: the filter is on this thread, from which the container is cloned.
#[test]
fn without_mount_setattr_and_close_range() {
    use wharf_runtime::seccomp::Profile;
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mount_setattr", "close_range"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    wharf_sys::seccomp::install(
        &Profile::parse(profile).unwrap().filter(0).unwrap(),
        wharf_sys::seccomp::Manner::default(),
    )
    .unwrap();
    let script = "cat /proc/mounts; touch /x; touch /ro/x; ls /proc/self/fd | wc -l";
    let mut fixture = Fixture::new(script);
    fixture.spec.readonly_root = true;
    fixture.spec.mounts = vec![bind(&fixture.image(), "/ro")];
    fixture.spec.mounts[0].readonly = true;
    let output = fixture.output();
    assert!(output.contains("/proc/sys proc ro,nosuid,nodev,noexec,relatime"), "{output}");
    assert!(output.ends_with("touch: /x: Read-only file system\ntouch: /ro/x: Read-only file system\n4\n"), "{output}");
}
