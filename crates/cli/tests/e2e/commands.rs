//! Commands that have no topic of their own: diff, commit, prune, plugins, those of a swarm.

use wharf_testkit::{TempEngine, foreign};

#[test]
fn diff_and_commit() {
    let engine = TempEngine::start();
    let script = "echo new > /new; rm /etc/group; mkdir -p /var/www/a; echo x >> /var/www/index.html";
    engine.cli(&["run", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    let expected = "C /etc\nD /etc/group\nA /new\nC /var\nC /var/www\nA /var/www/a\nC /var/www/index.html\n";
    assert_eq!(engine.cli(&["diff", "box"]).ok().stdout, expected);
    let id = engine.cli(&["commit", "-m", "why", "-c", "CMD [\"cat\", \"/new\"]", "box", "saved:1"]).ok();
    assert!(id.line().starts_with("sha256:"), "{}", id.stdout);
    assert_eq!(engine.cli(&["run", "--rm", "saved:1"]).ok().stdout, "new\n");
    engine.cli(&["rm", "box"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "ls /new"]).exits(1).stdout, "");
    engine.cli(&["rmi", "saved:1"]).ok();
    engine.finish();
}

#[test]
fn system_prune_removes_what_nothing_uses() {
    let engine = TempEngine::start();
    engine.cli(&["create", "--name", "stopped", "busybox:test"]).ok();
    engine.cli(&["run", "-d", "--init", "--name", "runs", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["volume", "create"]).ok();
    engine.cli(&["volume", "create", "named"]).ok();
    let said = engine.cli_stdin(&["system", "prune"], b"n\n").ok().stdout;
    assert!(said.contains("all stopped containers") && said.contains("[y/N]"), "{said}");
    let said = engine.cli(&["system", "prune", "-f", "--volumes"]).ok().stdout;
    assert!(said.contains("Deleted Containers:") && said.contains("Deleted Volumes:"), "{said}");
    assert!(said.contains("Total reclaimed space: "), "{said}");
    assert_eq!(engine.cli(&["ps", "-a", "--format", "{{.Names}}"]).ok().stdout, "runs\n");
    assert_eq!(engine.cli(&["volume", "ls", "-q"]).ok().stdout, "named\n");
    engine.cli(&["rm", "-f", "runs"]).ok();
    let said = engine.cli(&["system", "prune", "-af"]).ok().stdout;
    assert!(said.contains("untagged: busybox:test"), "{said}");
    engine.cli(&["volume", "rm", "named"]).ok();
    engine.finish();
}

#[test]
fn a_swarms_commands_are_answered_as_on_a_host_outside_of_one() {
    let engine = TempEngine::start();
    let words = "Error response from daemon: This node is not a swarm manager.";
    for arguments in [
        &["node", "ls"][..],
        &["service", "ls"],
        &["service", "create", "--replicas", "2", "-p", "80:80", "busybox:test"],
        &["stack", "ls"],
        &["secret", "ls"],
        &["config", "ls"],
        &["swarm", "join-token", "worker"],
    ] {
        let mut command = engine.cli_command(arguments);
        std::os::unix::process::CommandExt::arg0(&mut command, "docker");
        let refused = wharf_testkit::Output::of(&mut command, b"").exits(1).stderr;
        assert!(refused.starts_with(words), "{arguments:?}: {refused}");
        if foreign::find("docker").is_some() && arguments != ["stack", "ls"] {
            let theirs = engine.docker(arguments).unwrap().exits(1).stderr;
            assert!(theirs.contains("This node is not a swarm manager."), "{arguments:?}: {theirs}");
        }
    }
    engine.cli(&["swarm", "init"]).exits(1);
    assert!(engine.cli(&["plugin", "ls"]).ok().stdout.starts_with("ID "));
    engine.cli(&["service", "ls", "--nonsense"]).exits(125);
    engine.finish();
}

#[test]
fn plugins_add_commands() {
    use std::os::unix::fs::PermissionsExt;
    let engine = TempEngine::start();
    let folder = engine.scratch().join(".docker/cli-plugins");
    std::fs::create_dir_all(&folder).unwrap();
    let script = "#!/bin/sh\necho \"$@\"\nexit 4\n";
    std::fs::write(folder.join("docker-greet"), script).unwrap();
    std::fs::set_permissions(folder.join("docker-greet"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = engine.cli_command(&["greet", "--loud", "you"]);
    let output = wharf_testkit::Output::of(command.env("HOME", engine.scratch()), b"").exits(4);
    assert!(output.stdout.ends_with(" greet --loud you\n"), "{}", output.stdout);
    engine.cli(&["no-such-plugin"]).exits(1);
    engine.finish();
}

#[test]
fn the_doctor_looks_at_the_host() {
    let engine = TempEngine::start();
    let said = engine.cli(&["doctor"]);
    assert!(said.stdout.contains("kernel: ") && said.stdout.contains("engine: answers at unix://"), "{}", said.stdout);
    engine.finish();
}
