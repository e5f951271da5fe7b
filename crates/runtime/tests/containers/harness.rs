//! A small container per test, which leaves nothing behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use wharf_runtime::capabilities::DEFAULT_CAPABILITIES;
use wharf_runtime::cgroup::Group;
use wharf_runtime::paths::{DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS};
use wharf_runtime::spec::{
    Cgroup, ContainerSpec, Mount, MountSource, Namespace, Namespaces, Process, Propagation, RootFs, Seccomp,
};
use wharf_runtime::{Init, Starting, Stdio};
use wharf_types::Error;

const APPLETS: [&str; 30] = [
    "sh", "cat", "ls", "id", "stat", "mount", "mknod", "echo", "true", "false", "sleep", "kill", "touch", "readlink",
    "hostname", "grep", "pwd", "env", "tty", "stty", "umask", "ps", "dd", "wc", "chmod", "head", "ip", "test", "head",
    "df",
];

/// A folder with an image and a writable layer, and the specification of a container on it.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub spec: ContainerSpec,
}

/// What a container said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub output: String,
    pub code: i32,
}

impl Fixture {
    /// A container that runs `script` in a shell, confined as by default.
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make_image(&image);
        for name in ["upper", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let root = RootFs::Overlay {
            lower: vec![image],
            upper: folder.path().join("upper"),
            work: folder.path().join("work"),
            volatile: false,
        };
        Self { spec: specification(root, script), folder }
    }

    /// The image's folder, to be changed before the start.
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// What the container wrote.
    pub fn upper(&self) -> PathBuf {
        self.folder.path().join("upper")
    }

    /// Starts it; the reader gets standard output and error.
    pub fn start(&self) -> Result<(Running, std::io::PipeReader), Error> {
        let (reader, writer) = std::io::pipe().unwrap();
        let stdio = streams(writer);
        let init = Starting::begin(&self.spec, stdio)?.release()?;
        Ok((Running(init), reader))
    }

    /// Runs it to its end.
    pub fn run(&self) -> Outcome {
        let (running, mut reader) = self.start().unwrap();
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        let code = running.0.child.wait().unwrap();
        Outcome { output, code }
    }

    /// Runs it; its output, provided that it ends with 0.
    pub fn output(&self) -> String {
        let outcome = self.run();
        assert_eq!(outcome.code, 0, "{}", outcome.output);
        outcome.output
    }

    /// Why it does not start.
    pub fn start_error(&self) -> Error {
        let Err(error) = self.start() else { panic!("the container started") };
        assert!(self.cgroups().is_empty(), "{:?} is left", self.cgroups());
        error
    }

    /// The container's cgroup folders that exist.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let trees = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
        let below = |tree: PathBuf| tree.join(self.spec.cgroup.path.trim_start_matches('/'));
        trees.map(below).chain([below("/sys/fs/cgroup".into())]).filter(|path| path.exists()).collect()
    }
}

impl Drop for Fixture {
    /// The folders above the container's own cgroup, where a test asked for some.
    fn drop(&mut self) {
        let top = self.spec.cgroup.path.trim_start_matches('/').split('/').next().unwrap();
        let removed = Group::open(top).and_then(|group| group.remove());
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// A started container, killed and taken down with its cgroup at the end of the test.
pub struct Running(pub Init);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.child.kill(9);
        let _reaped = self.0.child.wait();
        let removed = self.0.cgroup.remove();
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

pub fn streams(writer: std::io::PipeWriter) -> Stdio {
    let null = File::open("/dev/null").unwrap();
    let stderr = OwnedFd::from(writer.try_clone().unwrap());
    Stdio::streams(null.into(), writer.into(), stderr)
}

fn make_image(image: &Path) {
    for folder in ["bin", "etc", "tmp", "root"] {
        fs::create_dir_all(image.join(folder)).unwrap();
    }
    let busybox = Path::new("/bin/busybox");
    assert!(busybox.exists(), "these tests need busybox-static at /bin/busybox: apt-get install busybox-static");
    let copy = image.join("bin/busybox");
    fs::hard_link(busybox, &copy).or_else(|_| fs::copy(busybox, &copy).map(drop)).unwrap();
    for applet in APPLETS {
        let _twice = symlink("busybox", image.join("bin").join(applet));
    }
    fs::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000:Bob:/home/bob:/bin/sh\n")
        .unwrap();
    fs::write(image.join("etc/group"), "root:x:0:\nbob:x:1000:\nstaff:x:50:bob\n").unwrap();
}

fn specification(root: RootFs, script: &str) -> ContainerSpec {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let id = format!("runtime-test-{}-{number}", std::process::id());
    ContainerSpec {
        root,
        readonly_root: false,
        mounts: Vec::new(),
        shm_size: 64 << 20,
        process: shell(script),
        namespaces: Namespaces { cgroup: Namespace::New, ..Namespaces::default() },
        hostname: "inside".to_owned(),
        domainname: None,
        cgroup: Cgroup { path: format!("/{id}"), ..Cgroup::default() },
        devices: Vec::new(),
        device_rules: Vec::new(),
        sysctls: BTreeMap::new(),
        masked_paths: DEFAULT_MASKED_PATHS.map(str::to_owned).to_vec(),
        readonly_paths: DEFAULT_READONLY_PATHS.map(str::to_owned).to_vec(),
        privileged: false,
        root_propagation: Propagation::Rprivate,
        init: false,
        id,
        ..ContainerSpec::default()
    }
}

/// A shell with a script, confined as by default.
pub fn shell(script: &str) -> Process {
    Process {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
        seccomp: Seccomp::Default,
        ..Process::default()
    }
}

/// A bind mount with nothing special about it.
pub fn bind(source: &Path, destination: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        source: MountSource::Bind { path: source.to_owned(), recursive: true },
        readonly: false,
        readonly_recursive: false,
        propagation: Propagation::Rprivate,
        options: Vec::new(),
        ..Mount::default()
    }
}
