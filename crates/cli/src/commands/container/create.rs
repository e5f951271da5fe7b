//! `create`: a container from an image, not started.

use clap::Args;
use wharf_api::container::CreateResponse;
use wharf_types::{Kind, Reference};

use crate::app::App;
use crate::commands::image::pull::fetch;
use crate::commands::{Arity, definition};
use crate::create::flags::ContainerFlags;
use crate::create::request::{self, Create};
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    container: ContainerFlags,
    /// Image, command and its arguments
    #[arg(value_name = "IMAGE", trailing_var_arg = true, num_args = 0..)]
    words: Vec<String>,
}

definition! {
    CreateFlags, create,
    names: &["container create", "create"],
    about: "Create a container without starting it",
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    arity: Arity::AtLeast(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let (image, command) = flags.words.split_first().ok_or_else(|| Failure::new("no image given"))?;
    let create = plan(app, &flags.container, image, command, "create")?;
    let created = make(app, &flags.container, &create).await?;
    output::out(&format!("{}\n", created.id))?;
    Ok(0)
}

/// The request for what the flags ask; what is wrong with them is answered as Docker does, with exit code 125.
pub fn plan(app: &App, flags: &ContainerFlags, image: &str, command: &[String], verb: &'static str) -> Outcome<Create> {
    let current = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let refuse = |message: String| Failure::new(message).with_code(125).of_command(verb);
    refuse_windows(flags)?;
    let mut create = request::build(flags, image, command, &current).map_err(refuse)?;
    create.platform = flags.platform.clone().unwrap_or_default();
    if create.platform.is_empty() {
        create.platform = env::text(env::DOCKER_DEFAULT_PLATFORM).unwrap_or_default();
    }
    create.platform = crate::grammar::host::platform(&create.platform).map_err(Failure::new)?;
    if flags.use_api_socket {
        add_socket(app, &mut create)?;
    }
    Ok(create)
}

/// Flags that only an engine on Windows understands.
fn refuse_windows(flags: &ContainerFlags) -> Outcome<()> {
    let given = [
        ("cpu-count", flags.cpu_count.is_some()),
        ("cpu-percent", flags.cpu_percent.is_some()),
        ("io-maxbandwidth", flags.io_maxbandwidth.is_some()),
        ("io-maxiops", flags.io_maxiops.is_some()),
    ];
    let Some((name, _)) = given.iter().find(|(_, given)| *given) else { return Ok(()) };
    let only = "is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux";
    Err(Failure::new(format!("\"--{name}\" {only}")))
}

/// `--use-api-socket`: the engine's socket appears where programs in the container look for it.
fn add_socket(app: &App, create: &mut Create) -> Outcome<()> {
    let wharf_client::Endpoint::Unix(path) = app.place()?.endpoint else {
        return Err(Failure::new("--use-api-socket needs an engine on a unix socket"));
    };
    if let Some(host) = &mut create.body.host_config {
        host.mounts.push(wharf_api::container::Mount {
            kind: Some(wharf_api::container::MountType::Bind),
            source: path.to_string_lossy().into_owned(),
            target: "/var/run/docker.sock".into(),
            bind_options: Some(wharf_api::container::BindOptions::default()),
            ..wharf_api::container::Mount::default()
        });
    }
    Ok(())
}

/// Creates the container; gets the image first where it is wanted or missing, and writes the file of `--cidfile`.
pub async fn make(app: &App, flags: &ContainerFlags, create: &Create) -> Outcome<CreateResponse> {
    let cidfile = flags.cidfile.as_deref().filter(|path| !path.is_empty()).map(CidFile::reserve).transpose()?;
    let client = app.client().await?;
    let image = &create.body.config.image;
    if flags.pull == "always" {
        pull(app, image, create, flags.quiet).await.map_err(|failure| with_ways_out(failure, app))?;
    }
    let platform = Some(create.platform.as_str()).filter(|platform| !platform.is_empty());
    let send = || client.container_create(create.name.as_deref(), platform, &create.body);
    let created = match send().await {
        Err(error) if error.kind() == Kind::NotFound && flags.pull == "missing" && is_name(image) => {
            if !flags.quiet {
                output::err(&format!("Unable to find image '{}' locally\n", familiar(image)));
            }
            pull(app, image, create, flags.quiet).await.map_err(|failure| with_ways_out(failure, app))?;
            send().await
        }
        other => other,
    };
    let created = match created {
        Err(error) if error.kind() == Kind::NotFound && is_name(image) => return Err(with_ways_out(error.into(), app)),
        other => other?,
    };
    for warning in &created.warnings {
        output::err(&format!("WARNING: {warning}\n"));
    }
    if let Some(file) = cidfile {
        file.write(&created.id)?;
    }
    Ok(created)
}

fn with_ways_out(failure: Failure, app: &App) -> Failure {
    let hint =
        format!("make an image with '{0} image bootstrap', or bring one in with '{0} load' or '{0} import'", app.name);
    if failure.hint.is_some() { failure } else { failure.with_hint(hint) }
}

/// Ids cannot be pulled.
fn is_name(image: &str) -> bool {
    image.parse::<Reference>().is_ok()
}

fn familiar(image: &str) -> String {
    image.parse::<Reference>().map_or_else(|_| image.to_owned(), |reference| reference.or_latest().familiar())
}

async fn pull(app: &App, image: &str, create: &Create, quiet: bool) -> Outcome<()> {
    let reference: Reference =
        image.parse().map_err(|error: wharf_types::ReferenceError| Failure::new(error.to_string()))?;
    let mut progress = output::progress::Progress::on_stderr(quiet);
    progress.results_are_said_elsewhere();
    fetch(app, &reference.or_latest(), &create.platform, &mut progress).await
}

/// The file that takes the container's id; removed again if there will be no container.
struct CidFile {
    path: String,
    written: std::cell::Cell<bool>,
}

impl CidFile {
    fn reserve(path: &str) -> Outcome<Self> {
        use std::io::ErrorKind::AlreadyExists;
        match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => Ok(Self { path: path.to_owned(), written: std::cell::Cell::new(false) }),
            Err(error) if error.kind() == AlreadyExists => {
                let other = "make sure the other container isn't running or delete";
                Err(Failure::new(format!("container ID file found, {other} {path}")))
            }
            Err(error) => {
                let why = output::os_error(&error);
                Err(Failure::new(format!("failed to create the container ID file: open {path}: {why}")))
            }
        }
    }

    fn write(&self, id: &str) -> Outcome<()> {
        std::fs::write(&self.path, id)
            .map_err(|error| Failure::new(format!("failed to write {}: {}", self.path, output::os_error(&error))))?;
        self.written.set(true);
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written.get() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
