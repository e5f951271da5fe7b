//! Credential helpers: programs named `docker-credential-NAME` that keep secrets in a keychain.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wharf_api::system::AuthConfig;

use crate::failure::{Failure, Outcome};

/// What a helper says where it has nothing; it is told apart by nothing else.
const NOTHING: &str = "credentials not found in native keychain";
/// The user that stands for a token.
const TOKEN: &str = "<token>";

/// What the helper has for a registry.
pub fn get(name: &str, server: &str) -> Outcome<Option<AuthConfig>> {
    let (succeeded, text) = run(name, "get", server)?;
    if !succeeded {
        return if text.contains(NOTHING) { Ok(None) } else { Err(failed(name, &text)) };
    }
    let value: Value = serde_json::from_str(&text).map_err(|error| failed(name, &error.to_string()))?;
    let of = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (username, secret) = (of("Username"), of("Secret"));
    Ok(Some(match username.as_str() {
        TOKEN => AuthConfig { identity_token: secret, ..AuthConfig::default() },
        _ => AuthConfig { username, password: secret, ..AuthConfig::default() },
    }))
}

/// Gives credentials to the helper.
pub fn store(name: &str, server: &str, auth: &AuthConfig) -> Outcome<()> {
    let (username, secret) = match auth.identity_token.as_str() {
        "" => (auth.username.as_str(), auth.password.as_str()),
        token => (TOKEN, token),
    };
    let input = json!({"ServerURL": server, "Username": username, "Secret": secret}).to_string();
    match run(name, "store", &input)? {
        (true, _) => Ok(()),
        (false, text) => Err(failed(name, &text)),
    }
}

/// Has the helper forget.
pub fn erase(name: &str, server: &str) -> Outcome<()> {
    match run(name, "erase", server)? {
        (true, _) => Ok(()),
        (false, text) => Err(failed(name, &text)),
    }
}

fn failed(name: &str, why: &str) -> Failure {
    Failure::new(format!("the credential helper {name} failed: {}", why.trim()))
}

/// Runs the helper; gives whether it succeeded, and what it wrote.
fn run(name: &str, action: &str, input: &str) -> Outcome<(bool, String)> {
    let program = if name.contains('/') { name.to_owned() } else { format!("docker-credential-{name}") };
    let missing = |error: std::io::Error| {
        Failure::new(format!("cannot run {program}: {}", crate::output::os_error(&error)))
            .with_hint("install it, or take it out of credsStore and credHelpers in config.json")
    };
    let mut command = Command::new(&program);
    let mut child = command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading all.
        let _ = stdin.write_all(format!("{input}\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(missing)?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
