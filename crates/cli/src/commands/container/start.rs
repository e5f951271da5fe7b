//! `start`: one or more containers that are there already.

use clap::Args;
use wharf_client::{AttachOptions, WaitCondition};

use super::run::start_failed;
use super::session::{self, Exit, Follow};
use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::{Failure, Outcome};
use crate::terminal::attach::{Session, Wiring};
use crate::terminal::detach;

/// What `start` takes.
#[derive(Debug, Args)]
pub struct StartFlags {
    /// Connect to STDOUT and STDERR, and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Start from this checkpoint
    #[arg(long, hide = true)]
    checkpoint: Option<String>,
    /// Folder of the checkpoint
    #[arg(long, hide = true)]
    checkpoint_dir: Option<String>,
    /// Keys that detach from the container (ctrl-p,ctrl-q)
    #[arg(long)]
    detach_keys: Option<String>,
    /// Connect STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    StartFlags, start,
    names: &["container start", "start"],
    about: "Start one or more stopped containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn start(app: &App, flags: StartFlags) -> Outcome {
    if flags.checkpoint.is_some() || flags.checkpoint_dir.is_some() {
        return Err(Failure::new("checkpoints are not supported yet"));
    }
    if flags.attach || flags.interactive {
        let [container] = flags.containers.as_slice() else {
            return Err(Failure::new("you cannot start and attach multiple containers at once"));
        };
        return attached(app, &flags, container).await;
    }
    let client = app.client().await?;
    let code =
        each(app, &flags.containers, |container| async move { Ok(client.container_start(container, None).await?) })
            .await?;
    if code != 0 {
        return Err(Failure::new(format!("failed to start containers: {}", failed(app, &flags.containers).await)));
    }
    Ok(0)
}

async fn failed(app: &App, containers: &[String]) -> String {
    let Ok(client) = app.client().await else { return containers.join(", ") };
    let mut names = Vec::new();
    for container in containers {
        let runs = match client.container_inspect(container, false).await {
            Ok(inspect) => inspect.state.is_some_and(|state| state.running),
            Err(_) => false,
        };
        if !runs {
            names.push(container.as_str());
        }
    }
    names.join(", ")
}

async fn attached(app: &App, flags: &StartFlags, container: &str) -> Outcome {
    let client = app.client().await?;
    let inspect = client.container_inspect(container, false).await?;
    let config = inspect.config.unwrap_or_default();
    let keys = detach::parse(&app.detach_keys(flags.detach_keys.as_deref())?).map_err(Failure::new)?;
    let stdin = flags.interactive && config.open_stdin;
    let options = AttachOptions {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: flags.detach_keys.clone(),
        ..AttachOptions::default()
    };
    let removed = inspect.host_config.is_some_and(|host| host.auto_remove);
    let condition = if removed { WaitCondition::Removed } else { WaitCondition::NextExit };
    let hijacked = client.container_attach(&inspect.id, &options).await?;
    let waiting = client.container_wait(&inspect.id, condition).await?;
    client.container_start(&inspect.id, None).await.map_err(start_failed).map_err(|f| f.with_code(1))?;
    let raw = session::raw_if(config.tty && stdin)?;
    let session =
        Session::start(hijacked, Wiring { stdin, half_close: config.stdin_once, tty: config.tty, detach_keys: keys })?;
    let follow = Follow { id: &inspect.id, tty: config.tty, forward: !config.tty, removed, raw: raw.is_some() };
    let exit = session::follow(app, follow, session, waiting).await?;
    drop(raw);
    Ok(match exit {
        Exit::Code(code) => code,
        Exit::Detached => 0,
    })
}
