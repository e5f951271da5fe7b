//! What a build fetches itself: contexts, files, repositories, and images that not everybody may have.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use wharf_testkit::bulk::digest;
use wharf_testkit::{Output, TempEngine, TempRegistry, foreign};

use super::{build, build_text, context, run, write};

/// A web server with these files, as long as the test runs.
fn web(files: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let files = Arc::clone(&files);
            std::thread::spawn(move || answer(stream, &files));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, files: &[(&'static str, Vec<u8>)]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let found = files.iter().find(|(name, _)| *name == path);
    let (status, body) = found.map_or(("404 Not Found", &b""[..]), |(_, body)| ("200 OK", body));
    let dated = "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT";
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{dated}\r\nContent-Length: {}\r\n\r\n", body.len());
    // A client that has enough may go.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

fn tar_gz(folder: &Path) -> Vec<u8> {
    Command::new("tar").arg("-C").arg(folder).args(["-cz", "."]).output().unwrap().stdout
}

#[test]
fn contexts_and_files_come_from_the_web() {
    let engine = TempEngine::start();
    let files =
        [("Dockerfile", "FROM busybox:test\nCOPY . /c\n"), ("other", "FROM busybox:test\nCOPY a /o\n"), ("a", "1")];
    let folder = context(&engine, &files);
    let archive = tar_gz(&folder);
    let plain = Command::new("tar").arg("-C").arg(&folder).args(["-c", "a"]).output().unwrap().stdout;
    let address = web(vec![
        ("/ctx.tar.gz", archive),
        ("/Dockerfile", b"FROM busybox:test\nRUN echo alone > /alone\n".to_vec()),
        ("/file.bin", b"content".to_vec()),
        ("/plain.tar", plain),
    ]);
    let remote = |name: &str, flags: &[&str]| {
        engine.cli(&[&["build", "--progress=plain", "-t", "x"], flags, &[&format!("{address}/{name}")]].concat())
    };
    remote("ctx.tar.gz", &[]).ok();
    assert_eq!(run(&engine, "x", "cat /c/a"), "1");
    remote("ctx.tar.gz", &["-f", "other"]).ok();
    assert_eq!(run(&engine, "x", "cat /o"), "1");
    remote("Dockerfile", &[]).ok();
    assert_eq!(run(&engine, "x", "cat /alone"), "alone\n");
    let missing = remote("missing.tar", &[]).exits(1);
    assert!(missing.stderr.contains("missing.tar"), "{}", missing.stderr);
    // The classic API fetches contexts, too.
    let mut http = engine.http();
    let path = format!("/build?remote={address}/ctx.tar.gz&t=classic&dockerfile=other");
    http.request("POST", &path, b"", "application/x-tar").unwrap().ok();
    assert_eq!(run(&engine, "classic", "cat /o"), "1");
    let sum = digest(b"content");
    let text = format!(
        "FROM busybox:test\nADD --checksum={sum} {address}/file.bin /f/\nADD --chmod=644 {address}/plain.tar /t/\nADD --unpack=true {address}/plain.tar /u/\n"
    );
    build_text(&engine, &text, &["-t", "added"]).ok();
    let seen =
        run(&engine, "added", "cat /f/file.bin; stat -c ' %a %Y' /f/file.bin; stat -c %a /t/plain.tar; cat /u/a");
    assert_eq!(seen, "content 600 784903526\n644\n1");
    let wrong = format!("FROM busybox:test\nADD --checksum={} {address}/file.bin /\n", digest(b"other"));
    let refused = build_text(&engine, &wrong, &[]).exits(1);
    assert!(refused.stderr.contains("digest mismatch") && refused.stderr.contains(">>> ADD"), "{}", refused.stderr);
    let absent = build_text(&engine, &format!("FROM busybox:test\nADD {address}/none /\n"), &[]).exits(1);
    assert!(absent.stderr.contains("/none") && absent.stderr.contains(">>> ADD"), "{}", absent.stderr);
    engine.finish();
}

/// A server of repositories below a folder.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(base: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("git");
        command.args(["daemon", "--export-all", "--listen=127.0.0.1", "--reuseaddr"]);
        command.arg(format!("--port={port}")).arg(format!("--base-path={}", base.display())).arg(base);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wharf_testkit::wait::until("git answers", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { child, address: format!("git://127.0.0.1:{port}") }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The server proper is a child of what was started.
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        for pid in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            drop(Command::new("kill").arg(pid).status());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args([
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "protocol.file.allow=always",
    ]);
    let output = command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn contexts_and_files_come_from_repositories() {
    if foreign::need("git").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let base = engine.scratch().join("repositories");
    let repository = base.join("app.git");
    write(
        &repository,
        &[
            ("Dockerfile", "FROM busybox:test\nCOPY . /c\n"),
            ("sub/Dockerfile", "FROM busybox:test\nCOPY f /f\n"),
            ("sub/f", "old"),
        ],
    );
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "one"]);
    git(&repository, &["tag", "v1"]);
    let first = git(&repository, &["rev-parse", "HEAD"]);
    write(&repository, &[("sub/f", "new")]);
    git(&repository, &["commit", "-q", "-a", "-m", "two"]);
    let daemon = Daemon::start(&base);
    let url = format!("{}/app.git", daemon.address);
    let remote = |rest: &str| engine.cli(&["build", "--progress=plain", "-t", "x", &format!("{url}{rest}")]);
    remote("").ok();
    assert_eq!(run(&engine, "x", "cat /c/sub/f; ls -a /c | tr '\\n' ' '"), "new. .. Dockerfile sub ");
    remote("#v1:sub").ok();
    assert_eq!(run(&engine, "x", "cat /f"), "old");
    remote(&format!("#{first}:sub")).ok();
    assert_eq!(run(&engine, "x", "cat /f"), "old");
    assert!(remote("#nowhere").exits(1).stderr.contains("nowhere"));
    assert!(remote("#main:../..").exits(1).stderr.contains("invalid address"));
    let text = format!(
        "FROM busybox:test\nADD {url}#v1 /one\nADD --keep-git-dir=true {url}#main:sub /two\nADD --checksum={first} {url}#v1 /three\n"
    );
    build_text(&engine, &text, &["-t", "added"]).ok();
    assert_eq!(
        run(&engine, "added", "cat /one/sub/f /two/f /three/sub/f; test -e /one/.git || echo none"),
        "oldnewoldnone\n"
    );
    let wrong = format!("FROM busybox:test\nADD --checksum=0123456789 {url}#v1 /one\n");
    assert!(build_text(&engine, &wrong, &[]).exits(1).stderr.contains("expected checksum"));
    drop(daemon);
    engine.finish();
}

#[test]
fn images_that_not_everybody_may_have() {
    let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir().unwrap();
    // As 'htpasswd -nbB -C 4 anna secret' writes it.
    std::fs::write(folder.path().join("users"), "anna:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        .unwrap();
    let registry = TempRegistry::start_in(folder, &["--htpasswd", "{}/users"]);
    let engine = TempEngine::start();
    let name = registry.reference("private/base:1");
    engine.cli(&["tag", "busybox:test", &name]).ok();
    engine.cli_stdin(&["login", "-u", "anna", "--password-stdin", registry.address()], b"secret").ok();
    engine.cli(&["push", "-q", &name]).ok();
    engine.cli(&["rmi", &name]).ok();
    let text = format!("FROM {name}\nRUN echo built > /b\n");
    build_text(&engine, &text, &["-t", "x"]).ok();
    assert_eq!(run(&engine, "x", "cat /b"), "built\n");
    // BuildKit asks its client, which reads what 'login' has written.
    if let Some(program) = super::buildkit::buildx() {
        engine.cli(&["rmi", "-f", &name]).ok();
        let folder = context(&engine, &[("Dockerfile", &format!("FROM {name}\nRUN echo asked > /b\n"))]);
        let home = engine.cli_command(&[]).get_envs().find(|(key, _)| *key == "HOME").unwrap().1.unwrap().to_owned();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
        command.env("DOCKER_HOST", engine.host()).args(["build", "-t", "y", folder.to_str().unwrap()]);
        Output::of(&mut command, b"").ok();
        assert_eq!(run(&engine, "y", "cat /b"), "asked\n");
    }
    // The classic API: credentials come in a header.
    engine.cli(&["rmi", "-f", &name]).ok();
    let auth = format!(r#"{{"{}":{{"username":"anna","password":"secret"}}}}"#, registry.address());
    let encoded =
        Command::new("sh").args(["-c", &format!("printf %s '{auth}' | base64 -w0 | tr +/ -_")]).output().unwrap();
    let classic = tar_gz(&context(&engine, &[("Dockerfile", &text)]));
    let post = |config: &str| {
        let head = format!(
            "POST /build?t=classic HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-tar\r\n{config}Content-Length: {}\r\n\r\n",
            classic.len()
        );
        let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&classic)).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(!post("").contains("Successfully built"));
    let config = format!("X-Registry-Config: {}\r\n", String::from_utf8_lossy(&encoded.stdout));
    let answer = post(&config);
    assert!(answer.contains("Successfully built"), "{answer}");
    // Nobody may have it any more.
    engine.cli(&["rmi", "-f", &name]).ok();
    engine.cli(&["logout", registry.address()]).ok();
    let refused = build_text(&engine, &text, &[]).exits(1);
    assert!(refused.stderr.contains("denied") || refused.stderr.contains("unauthorized"), "{}", refused.stderr);
    let pulled = build(&engine, &context(&engine, &[("Dockerfile", "FROM busybox:test\n")]), &["--pull"]);
    assert_ne!(pulled.code, 0, "--pull asks a registry, and there is none");
    engine.finish();
}
