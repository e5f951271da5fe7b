//! `attach`: connect to a running container.

use clap::Args;
use wharf_client::{AttachOptions, WaitCondition};

use super::session::{self, Exit, Follow};
use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::terminal::attach::{Session, Wiring};
use crate::terminal::detach;

/// What `attach` takes.
#[derive(Debug, Args)]
pub struct AttachFlags {
    /// Keys that detach from the container (ctrl-p,ctrl-q)
    #[arg(long)]
    detach_keys: Option<String>,
    /// Do not connect STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the program
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = crate::grammar::number::boolean)]
    sig_proxy: bool,
    /// Container
    #[arg(value_name = "CONTAINER", num_args = 0..)]
    container: Vec<String>,
}

definition! {
    AttachFlags, attach,
    names: &["container attach", "attach"],
    about: "Connect to the streams of a running container",
    usage: "[OPTIONS] CONTAINER",
    arity: Arity::Exactly(1),
}

async fn attach(app: &App, flags: AttachFlags) -> Outcome {
    let client = app.client().await?;
    let inspect = client.container_inspect(&flags.container[0], false).await?;
    let state = inspect.state.unwrap_or_default();
    check(&flags.container[0], &state)?;
    let config = inspect.config.unwrap_or_default();
    let stdin = !flags.no_stdin && config.open_stdin;
    if config.tty && stdin && !crate::terminal::raw::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY").with_hint("--no-stdin attaches without input"));
    }
    let keys = detach::parse(&app.detach_keys(flags.detach_keys.as_deref())?).map_err(Failure::new)?;
    let waiting = client.container_wait(&inspect.id, WaitCondition::NotRunning).await?;
    let options = AttachOptions {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: flags.detach_keys.clone(),
        ..AttachOptions::default()
    };
    let hijacked = client.container_attach(&inspect.id, &options).await?;
    let raw = session::raw_if(config.tty && stdin)?;
    let session =
        Session::start(hijacked, Wiring { stdin, half_close: config.stdin_once, tty: config.tty, detach_keys: keys })?;
    let forward = flags.sig_proxy && !config.tty;
    let removed = inspect.host_config.is_some_and(|host| host.auto_remove);
    let follow = Follow { id: &inspect.id, tty: config.tty, forward, removed, raw: raw.is_some() };
    let exit = session::follow(app, follow, session, waiting).await?;
    drop(raw);
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Detached if app.name == "docker" => Err(Failure::new("read escape sequence").with_code(0)),
        Exit::Detached => Ok(0),
    }
}

fn check(name: &str, state: &wharf_api::container::State) -> Outcome<()> {
    if !state.running {
        return Err(Failure::new("cannot attach to a stopped container, start it first")
            .with_hint(format!("'start --attach {name}' does both")));
    }
    if state.paused {
        return Err(Failure::new("cannot attach to a paused container, unpause it first"));
    }
    if state.restarting {
        return Err(Failure::new("cannot attach to a restarting container, wait until it is running"));
    }
    Ok(())
}
