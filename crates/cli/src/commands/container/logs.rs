//! `logs`: what a container has written.

use clap::Args;
use wharf_client::LogOptions;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::grammar::time;
use crate::terminal::attach::write_chunk;

/// What `logs` takes.
#[derive(Debug, Args)]
pub struct LogsFlags {
    /// Show the details that the log driver added
    #[arg(long)]
    details: bool,
    /// Go on with what is still to come
    #[arg(short, long)]
    follow: bool,
    /// From this time on (2013-01-02T13:23:37Z, or 42m for 42 minutes ago)
    #[arg(long)]
    since: Option<String>,
    /// Also what was typed into it, where --log-opt stdin=true has that recorded
    #[arg(long)]
    stdin: bool,
    /// So many lines from the end
    #[arg(short = 'n', long, default_value = "all", hide_default_value = true)]
    tail: String,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Up to this time
    #[arg(long)]
    until: Option<String>,
    /// Container
    #[arg(value_name = "CONTAINER", num_args = 0..)]
    container: Vec<String>,
}

definition! {
    LogsFlags, logs,
    names: &["container logs", "logs"],
    about: "Show what a container has written",
    usage: "[OPTIONS] CONTAINER",
    arity: Arity::Exactly(1),
}

async fn logs(app: &App, flags: LogsFlags) -> Outcome {
    let client = app.client().await?;
    let now = jiff::Timestamp::now();
    let point = |name: &str, text: &Option<String>| match text {
        Some(text) => time::timestamp(text, now)
            .map(Some)
            .map_err(|why| Failure::new(format!("invalid value for {name:?}: {why}"))),
        None => Ok(None),
    };
    let options = LogOptions {
        follow: flags.follow,
        stdin: flags.stdin,
        stdout: true,
        stderr: true,
        since: point("since", &flags.since)?,
        until: point("until", &flags.until)?,
        timestamps: flags.timestamps,
        tail: Some(flags.tail.clone()),
        details: flags.details,
    };
    let inspect = client.container_inspect(&flags.container[0], false).await?;
    let tty = inspect.config.is_some_and(|config| config.tty);
    let mut lines = client.container_logs(&inspect.id, &options, tty).await?;
    while let Some(chunk) = lines.next().await {
        match write_chunk(&chunk?) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
            other => other?,
        }
    }
    Ok(0)
}
