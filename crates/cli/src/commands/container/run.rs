//! `run`: create, attach, wait and start in one go.

use clap::Args;
use wharf_client::{AttachOptions, WaitCondition};

use super::create::{make, plan};
use super::session::{self, Exit, Follow};
use crate::app::App;
use crate::commands::{Arity, definition};
use crate::create::flags::ContainerFlags;
use crate::create::request::{Attach, Create};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::terminal::attach::{Session, Wiring};
use crate::terminal::{detach, raw};

/// What `run` takes.
#[derive(Debug, Args)]
pub struct RunFlags {
    #[command(flatten)]
    container: ContainerFlags,
    /// Leave the container in the background and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that detach from the container (ctrl-p,ctrl-q)
    #[arg(long)]
    detach_keys: Option<String>,
    /// Pass signals on to the program
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = crate::grammar::number::boolean)]
    sig_proxy: bool,
    /// Image, command and its arguments
    #[arg(value_name = "IMAGE", trailing_var_arg = true, num_args = 0..)]
    words: Vec<String>,
}

definition! {
    RunFlags, run,
    names: &["container run", "run"],
    about: "Create and start a container from an image",
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    arity: Arity::AtLeast(1),
}

async fn run(app: &App, flags: RunFlags) -> Outcome {
    let (image, command) = flags.words.split_first().ok_or_else(|| Failure::new("no image given"))?;
    let mut create = plan(app, &flags.container, image, command, "run").map_err(refused)?;
    adapt(&mut create, &flags)?;
    let tty = flags.container.tty;
    if !flags.detach && tty && flags.container.interactive && !raw::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY")
            .with_hint("leave out -t when standard input is a pipe or a file")
            .with_code(1));
    }
    let keys =
        detach::parse(&app.detach_keys(flags.detach_keys.as_deref())?).map_err(|why| refused(Failure::new(why)))?;
    let created = make(app, &flags.container, &create).await.map_err(refused)?;
    let client = app.client().await?;
    let removed = flags.container.rm;
    let condition = if removed { WaitCondition::Removed } else { WaitCondition::NextExit };
    if flags.detach {
        client.container_start(&created.id, flags.detach_keys.as_deref()).await.map_err(run_failed)?;
        output::out(&format!("{}\n", created.id))?;
        return Ok(0);
    }
    let attach = Attach::of(&flags.container);
    let options = AttachOptions {
        stream: true,
        stdin: attach.stdin,
        stdout: attach.stdout,
        stderr: attach.stderr,
        detach_keys: flags.detach_keys.clone(),
        ..AttachOptions::default()
    };
    let hijacked = client.container_attach(&created.id, &options).await.map_err(run_failed)?;
    let waiting = client.container_wait(&created.id, condition).await.map_err(run_failed)?;
    if let Err(error) = client.container_start(&created.id, None).await {
        if removed {
            // The engine removes it; whoever calls next must find the name free.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(10), waiting.outcome()).await;
        }
        return Err(run_failed(error));
    }
    // Raw mode begins after the start, so that an error is printed on a sane terminal.
    let raw = session::raw_if(tty && attach.stdin)?;
    let session = Session::start(hijacked, Wiring { stdin: attach.stdin, half_close: true, tty, detach_keys: keys })?;
    let follow = Follow { id: &created.id, tty, forward: flags.sig_proxy && !tty, removed, raw: raw.is_some() };
    let exit = session::follow(app, follow, session, waiting).await?;
    drop(raw);
    Ok(match exit {
        Exit::Code(code) => code,
        Exit::Detached => 0,
    })
}

/// What only `run` asks for: no attached streams in the background, and the terminal's size from the start.
fn adapt(create: &mut Create, flags: &RunFlags) -> Outcome<()> {
    let config = &mut create.body.config;
    if flags.detach {
        if !flags.container.attach.is_empty() {
            return Err(Failure::new("conflicting options: cannot specify both --attach and --detach").with_code(125));
        }
        (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        config.stdin_once = false;
    }
    if let (Some(host), Some((rows, columns))) = (&mut create.body.host_config, raw::size()) {
        host.console_size = [rows, columns];
    }
    Ok(())
}

/// A container that could not be started: the exit code says whether its program was the reason.
pub fn start_failed(error: wharf_types::Error) -> Failure {
    let code = error.kind().start_exit_code();
    Failure::from(error).with_code(code)
}

fn run_failed(error: wharf_types::Error) -> Failure {
    start_failed(error).of_command("run")
}

/// A failure before there was a container: exit code 125.
fn refused(failure: Failure) -> Failure {
    failure.with_code(125).of_command("run")
}
