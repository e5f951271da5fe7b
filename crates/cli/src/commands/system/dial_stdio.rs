//! `system dial-stdio`: the engine's socket on standard input and output, for clients that come by `ssh://`.

use std::io::{Read, Write};

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::terminal::attach::blocking;

/// What `system dial-stdio` takes.
#[derive(Debug, Args)]
pub struct DialStdioFlags {}

definition! {
    DialStdioFlags, dial_stdio,
    names: &["system dial-stdio"],
    about: "Proxy standard input and output to the engine; clients run it through ssh",
    usage: "",
    arity: Arity::None,
}

async fn dial_stdio(app: &App, _flags: DialStdioFlags) -> Outcome {
    // Starts the engine where that is wanted.
    app.client().await?;
    let (mut reader, mut writer) = blocking(app.place()?.endpoint.connect().await?)?;
    // The engine has the last word: when it closes, what still stands on standard input concerns nobody.
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        if copy(&mut std::io::stdin().lock(), &mut writer).is_ok() {
            // An engine that has closed already says so on the other side.
            drop(writer.close());
        }
    })?;
    let down = tokio::task::spawn_blocking(move || copy(&mut reader, &mut std::io::stdout().lock()));
    down.await.map_err(std::io::Error::other)??;
    Ok(0)
}

/// Passes everything on at once, which [`std::io::copy`] does not for standard output.
fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
