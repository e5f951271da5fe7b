//! Engines that are not on this host's default socket: TLS on both sides, `ssh://`, contexts.

use std::net::TcpListener;
use std::path::Path;

use wharf_testkit::{Options, Output, TempEngine};

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Certificates in a folder of their own.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(wharf_testkit::engine::program());
    Output::of(command.args(["system", "certificates"]).arg(folder.path().join("c")), b"").ok();
    folder
}

fn with_tls(address: &str, folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join("c").join(name).display().to_string();
    ["--host", address, "--tlsverify", "--tlscacert", &file("ca.pem"), "--tlscert", &file("server-cert.pem")]
        .into_iter()
        .map(str::to_owned)
        .chain(["--tlskey".to_owned(), file("server-key.pem")])
        .collect()
}

#[test]
fn only_who_has_a_certificate_is_let_in() {
    let folder = certificates();
    let address = format!("tcp://127.0.0.1:{}", port());
    let arguments = with_tls(&address, folder.path());
    let engine = TempEngine::start_with(Options { arguments, ..Options::default() });
    let certificates = folder.path().join("c");
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = std::process::Command::new(wharf_testkit::engine::program());
        command.env_clear().env("DOCKER_HOST", &address).env("DOCKER_TLS_VERIFY", "1");
        command.env("DOCKER_CERT_PATH", &certificates).env("HOME", engine.scratch());
        Output::of(command.args(arguments), input)
    };
    assert_eq!(run(&["run", "--rm", "busybox:test", "echo", "hello"], b"").ok().stdout, "hello\n");
    // Input, its end, output and exit code all come through.
    let script = ["run", "--rm", "-i", "busybox:test", "sh", "-c", "wc -c; exit 3"];
    assert_eq!(run(&script, &[b'x'; 300_000]).exits(3).line().trim(), "300000");
    let mut command = std::process::Command::new(wharf_testkit::engine::program());
    command.env_clear().env("HOME", engine.scratch()).args(["--host", &address, "--tls", "version"]);
    let refused = Output::of(&mut command, b"");
    assert_ne!(refused.code, 0, "a client without a certificate was let in");
    let mut command = std::process::Command::new(wharf_testkit::engine::program());
    command.env_clear().env("HOME", engine.scratch()).args(["--host", &address, "version"]);
    assert_ne!(Output::of(&mut command, b"").code, 0, "a client without TLS was let in");
    if let Some(mut docker) = engine.docker_command(&["run", "--rm", "busybox:test", "echo", "docker"]) {
        docker.env("DOCKER_HOST", &address).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", &certificates);
        assert_eq!(Output::of(&mut docker, b"").ok().stdout, "docker\n");
    }
    engine.finish();
}

#[test]
fn an_open_port_is_refused() {
    let mut command = std::process::Command::new(wharf_testkit::engine::program());
    let folder = tempfile::tempdir().unwrap();
    command.args(["engine", "--host", "tcp://0.0.0.0:0", "--root"]).arg(folder.path().join("r"));
    let refused = Output::of(command.arg("--run").arg(folder.path().join("x")), b"").exits(1).stderr;
    assert!(refused.contains("refusing to listen on tcp://0.0.0.0:0 without TLS"), "{refused}");
    assert!(!folder.path().join("r").exists());
}

#[test]
fn contexts_are_seen_by_both_command_lines() {
    let engine = TempEngine::start();
    let home = engine.scratch();
    let host = format!("host={}", engine.host());
    let wharf = |arguments: &[&str]| {
        let mut command = std::process::Command::new(wharf_testkit::engine::program());
        Output::of(command.env_clear().env("HOME", &home).args(arguments), b"")
    };
    wharf(&["context", "create", "near", "--description", "this one", "--docker", &host]).ok();
    wharf(&["context", "create", "near", "--docker", &host]).exits(1);
    wharf(&["--context", "near", "run", "--name", "box", "busybox:test", "true"]).ok();
    assert_eq!(wharf(&["context", "show"]).ok().stdout, "default\n");
    wharf(&["context", "use", "near"]).ok();
    assert_eq!(wharf(&["context", "show"]).ok().stdout, "near\n");
    assert_eq!(wharf(&["ps", "-a", "--format", "{{.Names}}"]).ok().stdout, "box\n");
    let listed = wharf(&["context", "ls"]).ok().stdout;
    assert!(listed.contains("near *") && listed.contains("this one") && listed.contains(&engine.host()), "{listed}");
    if let Some(mut docker) = engine.docker_command(&["ps", "-a", "--format", "{{.Names}}"]) {
        docker.env_remove("DOCKER_HOST").env("HOME", &home);
        assert_eq!(Output::of(&mut docker, b"").ok().stdout, "box\n");
        let mut docker =
            engine.docker_command(&["context", "inspect", "near", "-f", "{{.Endpoints.docker.Host}}"]).unwrap();
        docker.env_remove("DOCKER_HOST").env("HOME", &home);
        assert_eq!(Output::of(&mut docker, b"").ok().line(), engine.host());
    }
    let file = home.join("near.tar").display().to_string();
    wharf(&["context", "export", "near", &file]).ok();
    wharf(&["context", "import", "again", &file]).ok();
    wharf(&["context", "update", "again", "--description", "changed"]).ok();
    assert_eq!(wharf(&["context", "inspect", "again", "-f", "{{.Metadata.Description}}"]).ok().stdout, "changed\n");
    wharf(&["context", "rm", "near"]).exits(1);
    assert_eq!(wharf(&["context", "rm", "-f", "near", "again"]).ok().stdout, "near\nagain\n");
    assert_eq!(wharf(&["context", "show"]).ok().stdout, "default\n");
    engine.finish();
}

/// There is no second host here: a program in place of `ssh` runs what it is asked to run, as a login shell would.
#[test]
fn ssh_reaches_the_engine_over_there() {
    use std::os::unix::fs::PermissionsExt;
    let engine = TempEngine::start();
    let bin = engine.scratch().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let log = engine.scratch().join("words");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec sh -c \"$*\"\n",
        log.display()
    );
    std::fs::write(bin.join("ssh"), script).unwrap();
    std::fs::set_permissions(bin.join("ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(wharf_testkit::engine::program(), bin.join("wharf")).unwrap();
    let address = format!("ssh://me@far:2222{}", engine.socket().display());
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = std::process::Command::new(wharf_testkit::engine::program());
        command.env_clear().env("HOME", engine.scratch()).args(["--host", &address]).args(arguments);
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        Output::of(&mut command, input)
    };
    assert_eq!(run(&["run", "--rm", "busybox:test", "echo", "far"], b"").ok().stdout, "far\n");
    assert_eq!(run(&["run", "--rm", "-i", "busybox:test", "wc", "-c"], b"12345").ok().line().trim(), "5");
    let words = std::fs::read_to_string(log).unwrap();
    assert!(words.contains("-l me -p 2222 -- far"), "{words}");
    engine.finish();
}
