//! `create` must send what the stock docker command line sends, and refuse what it refuses in the same words.
//!
//! Both talk to a socket of this test that takes down what they ask for.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

#[test]
fn create_sends_what_docker_sends() {
    let Some(docker) = stock_docker() else {
        return println!("SKIPPED: there is no docker command line 28 on this machine to compare with");
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::write(dir.join("seccomp.json"), "{ \"defaultAction\":  \"SCMP_ACT_ALLOW\" }\n").unwrap();
    std::fs::write(dir.join("env"), "A=1\n# c\n\nB\nHOME\n C=2\n").unwrap();
    std::fs::write(dir.join("labels"), "l=1\nm\n").unwrap();
    let ours = dir.join("docker");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wharf"), &ours).unwrap();
    let requests = listen(&dir.join("s.sock"));
    let mut differences = Vec::new();
    for line in include_str!("create_cases.txt").lines().filter(|line| !line.starts_with('#')) {
        let words = words(&line.replace("DIR", dir.to_str().unwrap()));
        let theirs = run(Path::new(&docker), &words, &dir, &requests);
        let mine = run(&ours, &words, &dir, &requests);
        if theirs != mine {
            differences.push(format!("{line}\n  docker: {theirs:?}\n  wharf:  {mine:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn stock_docker() -> Option<String> {
    let output = Command::new("docker").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.starts_with("Docker version 28.").then(|| "docker".to_owned())
}

/// Exit code, first line of the complaint, and what was asked for.
fn run(
    program: &Path,
    words: &[String],
    dir: &Path,
    requests: &Requests,
) -> (Option<i32>, String, Vec<(String, Value)>) {
    requests.lock().unwrap().clear();
    let output = Command::new(program)
        .arg("create")
        .args(words)
        .args(["debian", "x"])
        .current_dir(dir)
        .env("DOCKER_HOST", format!("unix://{}/s.sock", dir.display()))
        .env("HOME", "/root")
        .env("FOO", "bar")
        .env_remove("WHARF_HOST")
        .env_remove("NOPE")
        .output()
        .unwrap();
    let _ = std::fs::remove_file(dir.join("cid"));
    let complaint = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    (output.status.code(), complaint, requests.lock().unwrap().drain(..).collect())
}

/// Takes down requests to create a container, and says yes to all.
fn listen(path: &Path) -> Requests {
    let requests = Requests::default();
    let (listener, shared) = (UnixListener::bind(path).unwrap(), Arc::clone(&requests));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || converse(&stream, &shared));
        }
    });
    requests
}

fn converse(stream: &UnixStream, requests: &Requests) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let answer = if path.contains("/_ping") { "OK" } else { r#"{"Id":"0123456789ab","Warnings":[]}"# };
        if let Ok(body) = serde_json::from_slice(&body) {
            requests.lock().unwrap().push((plain(&path), comparable(body)));
        }
        let head = line.starts_with("HEAD");
        let text = if head { "" } else { answer };
        let headers = "Api-Version: 1.50\r\nOstype: linux\r\nContent-Type: application/json";
        let status = if path.contains("/create") { "201 Created" } else { "200 OK" };
        (&*stream)
            .write_all(
                format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\n\r\n{text}", answer.len()).as_bytes(),
            )
            .ok()?;
    }
}

/// The path without the version; slashes may be escaped or not.
fn plain(path: &str) -> String {
    let rest = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')).map_or(path, |(_, rest)| rest);
    rest.replace("%2F", "/")
}

/// Docker sends variables and binds in random order, and one null that says nothing.
fn comparable(mut body: Value) -> Value {
    let sort = |value: Option<&mut Value>| {
        if let Some(Value::Array(items)) = value {
            items.sort_by_key(ToString::to_string);
        }
    };
    sort(body.get_mut("Env"));
    sort(body.pointer_mut("/HostConfig/Binds"));
    if let Some(body) = body.as_object_mut() {
        body.retain(|name, value| name != "OnBuild" || !value.is_null());
    }
    body
}

/// Cuts a line as a shell does: spaces part words, single quotes protect.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}
