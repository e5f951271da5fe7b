//! Hooks: programs that run on a container's way, with its state on their standard input.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use wharf_types::{Error, Result, ResultExt};

use crate::spec::Hook;

/// Runs one hook and waits for its end.
///
/// # Errors
/// It cannot be run, takes longer than it may (it is killed then), or ends with another code than 0.
pub fn run(hook: &Hook, state: &str) -> Result<()> {
    let name = hook.path.display();
    let mut command = Command::new(&hook.path);
    if let Some((first, others)) = hook.args.split_first() {
        command.arg0(first).args(others);
    }
    let variables = hook.env.iter().filter_map(|variable| variable.split_once('='));
    command.env_clear().envs(variables).stdin(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run hook {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read it.
        let _unread = stdin.write_all(state.as_bytes());
    }
    let status = wait(&mut child, hook.timeout).with_context(|| format!("cannot wait for hook {name}"))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::system(format!("hook {name} failed: {}", describe(status)))),
        None => Err(Error::system(format!("hook {name} took longer than {} s", hook.timeout.unwrap_or(0)))),
    }
}

/// `None` when its time ran out, after which it is dead.
fn wait(child: &mut Child, timeout: Option<u64>) -> std::io::Result<Option<ExitStatus>> {
    let Some(seconds) = timeout else { return child.wait().map(Some) };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, timeout: Option<u64>) -> Hook {
        let args = ["own-name", "-c", script].map(str::to_owned).to_vec();
        Hook { path: "/bin/sh".into(), args, env: vec!["A=1".into()], timeout }
    }

    #[test]
    fn a_hook_gets_the_state_and_nothing_else() {
        let script = "read line; test \"$line\" = state && test $A = 1 && test -z \"$HOME\" && test $0 = own-name";
        run(&sh(script, None), "state\n").unwrap();
        run(&sh("exit 0", None), &"x".repeat(1 << 20)).unwrap();
        assert!(run(&sh("exit 3", None), "").unwrap_err().chain().contains("exit code 3"));
        assert!(run(&sh("sleep 60", Some(0)), "").unwrap_err().chain().contains("took longer"));
        assert!(run(&Hook { path: "/nowhere".into(), ..Hook::default() }, "").is_err());
    }
}
