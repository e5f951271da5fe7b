//! A `wharf engine` process of a test's own.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::census::{self, Marks};
use crate::http::Http;
use crate::subnet::Subnet;
use crate::{foreign, golden, sweep, wait};

pub use crate::output::Output;

/// What a test may want to be different about its engine.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Further arguments of `wharf engine`.
    pub arguments: Vec<String>,
    /// Leave the image store empty instead of importing [`golden::BUSYBOX`].
    pub without_image: bool,
    /// Put root and run folder below this folder instead of the system's one for temporary files.
    pub below: Option<PathBuf>,
    /// Another program than [`program`].
    pub program: Option<PathBuf>,
}

/// An engine with its own folders, socket, subnet and cgroup, gone without a trace when this value goes.
///
/// Going, it removes its containers and networks through the API, ends the engine and takes the census; whatever is
/// left fails the test with a list. A test that already fails is cleaned up by force and nothing is counted.
pub struct TempEngine {
    folder: TempDir,
    subnet: Subnet,
    options: Options,
    process: Option<Child>,
    id: Option<String>,
}

impl TempEngine {
    /// Starts one that has the image [`golden::BUSYBOX`].
    ///
    /// # Panics
    /// If it does not answer, with its log.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts one to order.
    ///
    /// # Panics
    /// As [`TempEngine::start`].
    pub fn start_with(options: Options) -> Self {
        let below = options.below.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("wharf-test-").tempdir_in(below);
        let folder = folder.expect("a temporary folder can be made");
        let mut engine = Self { folder, subnet: Subnet::take(), options, process: None, id: None };
        engine.restart();
        if !engine.options.without_image {
            engine.import(golden::BUSYBOX, golden::busybox_rootfs(), &["CMD [\"sh\"]"]);
        }
        engine
    }

    /// Imports a root file system through the API.
    ///
    /// # Panics
    /// If the engine refuses it.
    pub fn import(&self, name: &str, rootfs: &[u8], changes: &[&str]) {
        let (repository, tag) = name.split_once(':').expect("a name with a tag");
        let mut path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
        for change in changes {
            path.push_str("&changes=");
            path.push_str(&escape(change));
        }
        let answer = self.http().request("POST", &path, rootfs, "application/x-tar").expect("the engine answers").ok();
        assert!(!answer.text().contains("\"error\""), "import of {name}: {}", answer.text());
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The engine's socket as a URL.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The engine's root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The engine's run folder.
    pub fn run_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A folder for the test's own files, gone with the engine.
    pub fn scratch(&self) -> PathBuf {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).expect("a folder can be made");
        scratch
    }

    /// The subnet of the default network; the bridge has its first address.
    pub fn subnet(&self) -> &Subnet {
        &self.subnet
    }

    /// Where the engine's containers have their cgroups, from each hierarchy's root.
    pub fn cgroup(&self) -> String {
        let name = self.folder.path().file_name().unwrap_or_default();
        format!("/{}", name.to_string_lossy())
    }

    /// The engine's id.
    ///
    /// # Panics
    /// If the engine never answered.
    pub fn id(&self) -> &str {
        self.id.as_deref().expect("the engine has answered once")
    }

    /// Process id of the running engine.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the engine runs").id()
    }

    /// A new connection to the API.
    pub fn http(&self) -> Http {
        Http::new(&self.socket())
    }

    /// GET of a JSON document.
    ///
    /// # Panics
    /// If the engine does not answer with success.
    pub fn get(&self, path: &str) -> Value {
        self.http().get(path).expect("the engine answers").ok().json()
    }

    /// The `wharf` command line for this engine, ready for changes.
    pub fn cli_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).args(["--host", &self.host()]).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the `wharf` command line.
    ///
    /// # Panics
    /// If it hangs.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.cli_command(arguments), b"")
    }

    /// Runs the `wharf` command line with something on its standard input.
    ///
    /// # Panics
    /// If it hangs.
    pub fn cli_stdin(&self, arguments: &[&str], input: &[u8]) -> Output {
        Output::of(&mut self.cli_command(arguments), input)
    }

    /// Docker's own command line for this engine; `None`, loudly, where it is not installed.
    pub fn docker_command(&self, arguments: &[&str]) -> Option<Command> {
        let mut command = Command::new(foreign::need("docker")?);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("DOCKER_HOST", self.host()).args(arguments).stdin(Stdio::null());
        Some(command)
    }

    /// Runs Docker's own command line.
    pub fn docker(&self, arguments: &[&str]) -> Option<Output> {
        Some(Output::of(&mut self.docker_command(arguments)?, b""))
    }

    /// Kills the engine as a crash would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("the engine runs");
        process.kill().expect("the engine can be killed");
        process.wait().expect("the engine can be waited for");
    }

    /// Sends the engine SIGKILL and does not wait for its end; [`TempEngine::kill9`] does then.
    pub fn shoot(&mut self) {
        signal(self.process.as_ref().expect("the engine runs"), Signal::KILL);
    }

    /// Ends the engine in good order.
    ///
    /// # Panics
    /// If it does not run, does not end or ends with a failure.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the engine runs");
        signal(&process, Signal::TERM);
        let status = wait::until("the engine ends on SIGTERM", || process.try_wait().ok().flatten());
        assert!(status.success(), "the engine ended with {status}\n{}", self.log());
    }

    /// Starts the engine, after ending it where it runs.
    ///
    /// # Panics
    /// If it does not answer, with its log.
    pub fn restart(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log can be written");
        let program = self.program();
        let mut command = Command::new(&program);
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display())));
        let id = wait::until("the engine answers", || self.answer());
        self.id = Some(id);
    }

    /// Removes everything through the API, takes the census while no engine runs, and starts it again.
    ///
    /// # Panics
    /// With a list, if anything is left.
    pub fn empty(&mut self) {
        self.remove_everything();
        self.stop();
        self.count();
        self.restart();
    }

    /// Removes everything through the API, ends the engine and takes the census.
    ///
    /// # Panics
    /// With a list, if anything is left.
    pub fn finish(mut self) {
        self.take_down();
    }

    /// What the engine has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The marks by which the census knows what is this engine's.
    pub fn marks(&self) -> Marks {
        Marks { folder: self.folder.path().to_owned(), cgroup: self.cgroup(), engine: self.id.clone() }
    }

    /// Takes another program from the next start on; `None` for the one that was built.
    pub fn use_program(&mut self, program: Option<PathBuf>) {
        self.options.program = program;
    }

    fn program(&self) -> PathBuf {
        self.options.program.clone().unwrap_or_else(program)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("engine.log")
    }

    fn arguments(&self) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        let mut arguments: Vec<String> = ["engine", "--root", &path(self.root()), "--run", &path(self.run_folder())]
            .into_iter()
            .chain(["--host", &self.host(), "--cgroup-parent", &self.cgroup()])
            .chain(["--bridge-subnet", &format!("{}/24", self.subnet.address(1))])
            .map(str::to_owned)
            .collect();
        arguments.extend(self.options.arguments.iter().cloned());
        arguments
    }

    /// The engine's id once it answers.
    fn answer(&mut self) -> Option<String> {
        let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
        assert!(ended.is_none(), "the engine ended at its start: {ended:?}\n{}", self.log());
        // One that asks others whether it may answer refuses until they are there.
        let info = self.http().get("/info").ok().filter(|answer| answer.status == 200)?;
        Some(info.json()["ID"].as_str().unwrap_or_default().to_owned())
    }

    fn take_down(&mut self) {
        if self.process.is_none() {
            self.restart();
        }
        self.remove_everything();
        self.stop();
        self.count();
        self.id = None;
    }

    /// The census of an engine that has ended.
    fn count(&mut self) {
        let mut left = census::leftovers(&self.marks());
        left.extend(census::stray_files(&self.root(), &self.run_folder()));
        if !left.is_empty() {
            let log = self.log();
            sweep::by_force(&self.marks());
            self.id = None;
            panic!("the engine has left:\n  {}\nits log:\n{log}", left.join("\n  "));
        }
    }

    fn remove_everything(&self) {
        let mut http = self.http();
        let containers = self.get("/containers/json?all=1");
        for container in containers.as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let answer = http.delete(&format!("/containers/{id}?force=1&v=1")).expect("the engine answers");
            // With --rm it may go by itself at the same time.
            assert!(matches!(answer.status, 204 | 404 | 409), "HTTP {}: {}", answer.status, answer.text());
        }
        wait::until("all containers are gone", || {
            self.get("/containers/json?all=1").as_array().is_some_and(Vec::is_empty).then_some(())
        });
        for network in self.get("/networks").as_array().into_iter().flatten() {
            let name = network["Name"].as_str().unwrap_or_default();
            if !["bridge", "host", "none"].contains(&name) {
                http.delete(&format!("/networks/{name}")).expect("the engine answers").ok();
            }
        }
    }
}

impl Drop for TempEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut process) = self.process.take() {
                show_log(&self.log());
                signal(&process, Signal::KILL);
                drop(process.wait());
            }
            sweep::by_force(&self.marks());
        } else if self.id.is_some() {
            self.take_down();
        }
    }
}

/// The `wharf` program under test: `WHARF_BIN`, or the one beside the test's own executable, which cargo builds before
/// the integration tests of its package.
///
/// # Panics
/// If there is none.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("WHARF_BIN") {
        return PathBuf::from(path);
    }
    let own = std::env::current_exe().expect("the kernel knows the path of this program");
    let built = own.ancestors().skip(1).take(2).map(|folder| folder.join("wharf")).find(|path| path.is_file());
    built.expect("'wharf' is built beside the tests: cargo build --package wharf, or set WHARF_BIN")
}

fn signal(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    // It may have ended already, which is what the signal is for.
    let _ = pid.map(|pid| kill_process(pid, signal));
}

#[expect(clippy::print_stderr, reason = "a failing test shows what its engine said")]
fn show_log(log: &str) {
    eprintln!("--- the engine's log ---\n{log}------------------------");
}

/// Percent-encodes everything that is not plainly safe in a query.
fn escape(text: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
