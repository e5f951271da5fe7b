//! Programs that add commands: `docker-NAME`, in the folders where Docker's client looks for them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::app::App;
use crate::context;
use crate::credentials::folder_of;
use crate::env;
use crate::failure::{Failure, Outcome};

/// The folders of the whole host, the first one first.
const FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The program of a command, if there is one.
pub fn find(app: &App, name: &str) -> Option<PathBuf> {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let candidates = || folders(app).into_iter().map(|folder| folder.join(format!("docker-{name}")));
    plain.then(|| candidates().find(|path| is_program(path)))?
}

/// The names of all that there are.
pub fn names(app: &App) -> Vec<String> {
    let entries = folders(app).into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let programs = entries.filter_map(Result::ok).filter(|entry| is_program(&entry.path()));
    let name = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_prefix("docker-")?.to_owned());
    let mut names: Vec<String> = programs.filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

fn folders(app: &App) -> Vec<PathBuf> {
    let further = app.config().texts("cliPluginsExtraDirs").unwrap_or_default();
    let own = folder_of(app.globals.config.as_deref()).join("cli-plugins");
    further.into_iter().map(PathBuf::from).chain([own]).chain(FOLDERS.map(PathBuf::from)).collect()
}

fn is_program(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Becomes the program. It finds the engine that this client would talk to, which runs by then.
pub fn run(app: &App, program: &PathBuf, words: &[String]) -> Outcome {
    let mut command = Command::new(program);
    command.args(&app.globals.words).args(words);
    let own = std::env::args().next().unwrap_or_else(|| app.name.to_owned());
    command.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", own);
    if app.current_context()? == context::DEFAULT && app.globals.host.is_none() {
        let place = app.place()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(place.make_sure_of_engine())?;
        command.env(env::DOCKER_HOST, place.endpoint.to_string());
    }
    Err(Failure::new(format!("cannot run {}: {}", program.display(), crate::output::os_error(&command.exec()))))
}
