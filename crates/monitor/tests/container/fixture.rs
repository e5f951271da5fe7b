//! A container to be started, with everything it needs in a temporary folder.

use std::fs::{self, File};
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use wharf_monitor::protocol::{Event, Exit, LogPlan, MonitorSpec, Streams};
use wharf_monitor::{Events, Handle, Newborn};
use wharf_network::plan::SandboxPlan;
use wharf_runtime::spec::{Cgroup, ContainerSpec, Namespaces, Process, Propagation, Resources, RootFs, Seccomp};

/// A container that has not been started; dropping it removes its folders.
pub struct Fixture {
    folder: tempfile::TempDir,
    pub spec: MonitorSpec,
}

/// A started one.
pub struct Running {
    pub fixture: Fixture,
    pub handle: Handle,
    pub events: Events,
    pub pid: i32,
    pub monitor: i32,
}

/// A fixture whose first process is `argv`; `None`, with a word to the person, where the test cannot run.
pub fn fixture(argv: &[&str]) -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    assert!(fs::exists("/bin/busybox").unwrap(), "needs /bin/busybox: apt-get install busybox-static");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo", "sleep", "true", "tty", "stty", "yes", "seq", "head", "kill"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let log = LogPlan::JsonFile {
        path: folder.path().join("log"),
        max_size: None,
        max_files: 1,
        compress: false,
        attrs: Vec::new(),
    };
    let container = container(root, process(argv));
    let sandbox = SandboxPlan::Own { endpoints: vec![], ports: vec![], table: "unused".to_owned(), sysctls: vec![] };
    let spec = MonitorSpec {
        container,
        sandbox,
        log,
        open_stdin: false,
        stdin_once: false,
        log_stdin: false,
        health: None,
        names: None,
    };
    Some(Fixture { folder, spec })
}

pub fn process(argv: &[&str]) -> Process {
    Process {
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        seccomp: Seccomp::Default,
        ..Process::default()
    }
}

fn container(root: PathBuf, process: Process) -> ContainerSpec {
    let mut random = [0; 32];
    File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    let id = wharf_types::Id::from_random(random).to_string();
    ContainerSpec {
        cgroup: Cgroup { path: format!("/wharf-monitor-test-{}", &id[..12]), resources: Resources::default() },
        id,
        root: RootFs::Directory(root),
        readonly_root: false,
        mounts: vec![],
        shm_size: 1 << 20,
        process,
        namespaces: Namespaces::default(),
        hostname: "test".to_owned(),
        domainname: None,
        devices: vec![],
        device_rules: vec![],
        sysctls: Default::default(),
        masked_paths: vec![],
        readonly_paths: vec![],
        privileged: false,
        root_propagation: Propagation::Private,
        init: false,
        ..ContainerSpec::default()
    }
}

/// All streams of a client.
pub fn streams(multiplexed: bool) -> Streams {
    Streams { stdin: true, stdout: true, stderr: true, multiplexed, detach_keys: vec![] }
}

impl Fixture {
    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The log's texts, one string.
    pub fn log(&self) -> String {
        let entries = wharf_monitor::log::Reader::open(&self.folder.path().join("log"), Default::default()).unwrap();
        entries.map(|entry| String::from_utf8(entry.unwrap().text).unwrap()).collect()
    }

    pub async fn start(self, clients: Vec<(UnixStream, Streams)>) -> Running {
        self.try_start(clients).await.unwrap_or_else(|(_, error)| panic!("{error:?}"))
    }

    pub async fn try_start(
        self,
        clients: Vec<(UnixStream, Streams)>,
    ) -> Result<Running, (Fixture, wharf_types::Error)> {
        let executable = File::open(monitor_executable()).unwrap();
        let newborn = Newborn::spawn(executable.as_fd(), &self.run_dir()).unwrap();
        let monitor = newborn.pid();
        let clients = clients.into_iter().map(|(socket, streams)| (socket.into(), streams)).collect();
        match newborn.start(&self.run_dir(), &self.spec, clients).await {
            Ok((started, handle, events)) => Ok(Running { fixture: self, handle, events, pid: started.pid, monitor }),
            Err(error) => Err((self, error)),
        }
    }
}

impl Running {
    /// Waits for the end of the container and of the monitor.
    pub async fn end(&mut self) -> Exit {
        let mut exit = None;
        while let Some(event) = patiently(self.events.next()).await.unwrap() {
            if let Event::Exited(end) = event {
                exit = Some(end);
            }
        }
        self.assert_nothing_is_left().await;
        exit.expect("the exit was not told")
    }

    /// Waits for the end and expects this exit code, no problems, and the same in the record.
    pub async fn expect_end(mut self, code: i32) -> Fixture {
        let exit = self.end().await;
        assert_eq!((exit.code, &exit.problems[..]), (code, &[][..]));
        assert_eq!(wharf_monitor::read_exit(&self.fixture.run_dir()).unwrap(), Some(exit));
        self.fixture
    }

    /// After [`Event::Exited`] has been seen: waits for the end of the monitor.
    pub async fn expect_gone(mut self) {
        assert_eq!(patiently(self.events.next()).await.unwrap(), None);
        self.assert_nothing_is_left().await;
    }

    /// Once the monitor has ended.
    async fn assert_nothing_is_left(&self) {
        let monitor = format!("/proc/{}", self.monitor);
        patiently(async {
            while fs::exists(&monitor).unwrap() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        self.fixture.assert_no_cgroup();
        assert!(!fs::exists(self.fixture.run_dir().join("monitor.sock")).unwrap());
        assert!(!fs::exists(format!("/proc/{}/root/bin", self.pid)).unwrap_or(false));
    }
}

impl Fixture {
    pub fn assert_no_cgroup(&self) {
        let name = self.spec.container.cgroup.path.trim_start_matches('/');
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let path = hierarchy.unwrap().path().join(name);
            assert!(!fs::exists(&path).unwrap(), "{} was left", path.display());
        }
    }
}

/// Where cargo puts examples, seen from where it puts tests.
fn monitor_executable() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/wharf-monitor");
    assert!(path.exists(), "build the examples of wharf-monitor first: cargo build --examples -p wharf-monitor");
    path
}

/// Fails instead of hanging for ever.
pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// A client's connection: the end for the monitor and the client's own.
pub fn client() -> (UnixStream, UnixStream) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    (theirs, ours)
}

/// Reads to the end of the stream.
pub async fn read_all(mut stream: UnixStream) -> Vec<u8> {
    let read = tokio::task::spawn_blocking(move || {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map(|_| received)
    });
    read.await.unwrap().unwrap()
}

/// Reads until the stream has shown `text`.
pub async fn read_until(stream: &UnixStream, text: &str) -> String {
    let (mut stream, text) = (stream.try_clone().unwrap(), text.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let mut received = Vec::new();
        let mut byte = [0];
        while !received.ends_with(text.as_bytes()) {
            let count = stream.read(&mut byte).unwrap();
            assert!(count > 0, "the stream ended after {:?}", String::from_utf8_lossy(&received));
            received.push(byte[0]);
        }
        String::from_utf8_lossy(&received).into_owned()
    });
    read.await.unwrap()
}

/// The client has nothing more to say.
pub fn half_close(stream: &UnixStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
