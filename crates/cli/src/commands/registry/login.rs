//! `login`: shows a registry who one is, and remembers it.

use std::io::{BufRead, Read};

use clap::Args;
use wharf_api::system::AuthConfig;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::credentials::key_of;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::terminal::raw;

/// What `login` takes.
#[derive(Debug, Args)]
pub struct LoginFlags {
    /// Password or token; better with --password-stdin
    #[arg(short, long)]
    password: Option<String>,
    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// User
    #[arg(short, long)]
    username: Option<String>,
    /// Registry; Docker Hub where none is named
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

definition! {
    LoginFlags, login,
    names: &["login"],
    about: "Log in to a registry",
    usage: "[OPTIONS] [SERVER]",
    arity: Arity::AtMost(1),
}

async fn login(app: &App, flags: LoginFlags) -> Outcome {
    if flags.password_stdin && flags.password.is_some() {
        return Err(Failure::new("conflicting options: cannot specify both --password and --password-stdin"));
    }
    if flags.password_stdin && flags.username.is_none() {
        return Err(Failure::new("the --password-stdin option requires --username to be set"));
    }
    if flags.password.is_some() {
        output::err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    }
    let server = flags.server.clone().unwrap_or_default();
    let server = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut store = app.credentials()?;
    let known = store.get(&server)?;
    let has_known = !known.password.is_empty() || !known.identity_token.is_empty();
    if flags.username.is_none() && flags.password.is_none() && has_known {
        output::out("Authenticating with existing credentials...\n")?;
        if let Ok(answer) = app.client().await?.auth(&known).await {
            output::out(&format!("{}\n", answer.status))?;
            return Ok(0);
        }
    }
    let auth = ask(&flags, &server, &known)?;
    let answer = app.client().await?.auth(&auth).await?;
    let kept = match answer.identity_token.is_empty() {
        true => auth,
        false => AuthConfig { password: String::new(), identity_token: answer.identity_token, ..auth },
    };
    if store.put(&server, &kept)? {
        let path = store.path().display();
        output::err(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{path}'.\n\
             Configure a credential helper to remove this warning.\n\n"
        ));
    }
    output::out(&format!("{}\n", answer.status))?;
    Ok(0)
}

/// What the flags do not say is asked for.
fn ask(flags: &LoginFlags, server: &str, known: &AuthConfig) -> Outcome<AuthConfig> {
    let asks = flags.username.is_none() || (flags.password.is_none() && !flags.password_stdin);
    if asks && !raw::stdin_is_terminal() {
        return Err(Failure::new("Cannot perform an interactive login from a non TTY device")
            .with_hint("give --username and --password-stdin"));
    }
    let username = match &flags.username {
        Some(username) => username.clone(),
        None => {
            let offer = if known.username.is_empty() { String::new() } else { format!(" ({})", known.username) };
            output::out(&format!("Username{offer}: "))?;
            let line = read_line()?;
            if line.is_empty() { known.username.clone() } else { line }
        }
    };
    if username.trim().is_empty() {
        return Err(Failure::new("username is required"));
    }
    let password = match &flags.password {
        Some(password) => password.clone(),
        None if flags.password_stdin => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => {
            output::out("Password: ")?;
            let password = raw::without_echo(read_line)?;
            output::out("\n")?;
            password?
        }
    };
    if password.is_empty() {
        return Err(Failure::new("password is required"));
    }
    Ok(AuthConfig { username, password, server_address: key_of(server).to_owned(), ..AuthConfig::default() })
}

fn read_line() -> Outcome<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
