//! `exec`: a further program in a running container.

use std::time::Duration;

use clap::Args;
use wharf_api::exec::{ExecConfig, ExecStart};

use super::run::start_failed;
use super::session;
use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::grammar::env_file;
use crate::terminal::attach::{End, Session, Wiring};
use crate::terminal::{detach, raw, signals};

/// What `exec` takes.
#[derive(Debug, Args)]
pub struct ExecFlags {
    /// Leave the program in the background
    #[arg(short, long)]
    detach: bool,
    /// Keys that detach from the program (ctrl-p,ctrl-q)
    #[arg(long)]
    detach_keys: Option<String>,
    /// Set a variable (NAME=VALUE, or NAME to pass your own)
    #[arg(short, long, value_parser = env_file::variable)]
    env: Vec<String>,
    /// Read variables from a file
    #[arg(long)]
    env_file: Vec<String>,
    /// Connect STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Give the program all capabilities
    #[arg(long)]
    privileged: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// User (NAME|UID[:GROUP|GID])
    #[arg(short, long)]
    user: Option<String>,
    /// Folder to run in
    #[arg(short, long)]
    workdir: Option<String>,
    /// Container, command and its arguments
    #[arg(value_name = "CONTAINER", trailing_var_arg = true, num_args = 0..)]
    words: Vec<String>,
}

definition! {
    ExecFlags, exec,
    names: &["container exec", "exec"],
    about: "Run a further program in a running container",
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    arity: Arity::AtLeast(2),
}

async fn exec(app: &App, flags: ExecFlags) -> Outcome {
    let (container, command) = flags.words.split_first().ok_or_else(|| Failure::new("no container given"))?;
    if !flags.detach && flags.tty && flags.interactive && !raw::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY")
            .with_hint("leave out -t when standard input is a pipe or a file"));
    }
    let keys = detach::parse(&app.detach_keys(flags.detach_keys.as_deref())?).map_err(Failure::new)?;
    let config = config(&flags, command)?;
    let client = app.client().await?;
    let id = client.exec_create(container, &config).await?.id;
    let start = ExecStart { detach: flags.detach, tty: flags.tty, console_size: config.console_size };
    if flags.detach {
        client.exec_start_detached(&id, &start).await.map_err(start_failed)?;
        return Ok(0);
    }
    let hijacked = client.exec_start(&id, &start).await.map_err(start_failed)?;
    let raw = session::raw_if(flags.tty && flags.interactive)?;
    let wiring = Wiring { stdin: flags.interactive, half_close: true, tty: flags.tty, detach_keys: keys };
    let mut session = Session::start(hijacked, wiring)?;
    let end = tokio::select! {
        biased;
        end = session.end() => end?,
        failure = beside(app, &id, raw.is_some(), flags.tty) => return failure.map(|never| match never {}),
    };
    drop(raw);
    match end {
        End::Detached => Ok(0),
        End::Output(_) => exit_code(app, &id).await,
    }
}

fn config(flags: &ExecFlags, command: &[String]) -> Outcome<ExecConfig> {
    let mut env = Vec::new();
    for file in &flags.env_file {
        env.extend(env_file::variables_of_file(file).map_err(Failure::new)?);
    }
    env.extend(flags.env.iter().cloned());
    Ok(ExecConfig {
        user: flags.user.clone().unwrap_or_default(),
        privileged: flags.privileged,
        tty: flags.tty,
        console_size: raw::size().filter(|_| flags.tty).map(|(rows, columns)| [rows, columns]),
        attach_stdin: flags.interactive && !flags.detach,
        attach_stderr: !flags.detach,
        attach_stdout: !flags.detach,
        detach_keys: flags.detach_keys.clone().unwrap_or_default(),
        env: if env.is_empty() { wharf_api::List::null() } else { env.into() },
        working_dir: flags.workdir.clone().unwrap_or_default(),
        cmd: command.to_vec().into(),
    })
}

/// The terminal's size and, in raw mode, the signals that end this process.
async fn beside(app: &App, id: &str, raw: bool, tty: bool) -> Outcome<std::convert::Infallible> {
    if !tty {
        return std::future::pending().await;
    }
    let client = app.client().await?;
    let resize = |rows, columns| async move {
        // The program may have ended at this moment.
        let _ = client.exec_resize(id, rows, columns).await;
    };
    let size = async {
        signals::follow_size(resize).await?;
        std::future::pending().await
    };
    if !raw {
        return size.await;
    }
    tokio::select! {
        result = size => result,
        result = signals::restore_and_die() => result,
    }
}

/// The streams may end a moment before the engine knows of the program's end.
async fn exit_code(app: &App, id: &str) -> Outcome {
    let client = app.client().await?;
    for pause in [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let inspect = client.exec_inspect(id).await?;
        if let Some(code) = inspect.exit_code.filter(|_| !inspect.running) {
            return Ok(u8::try_from(code & 0xff).unwrap_or(1));
        }
    }
    Err(Failure::new("the program closed its output but goes on; its exit code is not known"))
}
