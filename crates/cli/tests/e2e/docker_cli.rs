//! Docker's own command line against wharf's socket.

use wharf_testkit::{Output, TempEngine, foreign, pty::Terminal, wait};

fn docker(engine: &TempEngine, arguments: &[&str]) -> Output {
    engine.docker(arguments).expect("the test has looked for docker")
}

#[test]
fn run_in_all_ways() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let output =
        docker(&engine, &["run", "--rm", "busybox:test", "sh", "-c", "echo out; echo err >&2; exit 3"]).exits(3);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    docker(&engine, &["run", "--rm", "busybox:test", "no-such-program"]).exits(127);
    docker(&engine, &["run", "--rm", "busybox:test", "/etc/not-a-program"]).exits(126);
    docker(&engine, &["run", "--rm", "-u", "nobody-knows", "busybox:test", "true"]).exits(125);
    let mut command = engine.docker_command(&["run", "--rm", "-i", "busybox:test", "wc", "-c"]).unwrap();
    assert_eq!(Output::of(&mut command, b"12345").ok().line().trim(), "5");
    let mut command = engine.docker_command(&["run", "--rm", "-it", "busybox:test", "stty", "size"]).unwrap();
    let (status, text) = Terminal::start(&mut command).unwrap().finish().unwrap();
    assert!(status.success() && text.contains("30 100"), "{text}");
    engine.finish();
}

#[test]
fn the_life_of_a_container() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let script = "trap 'exit 4' TERM; echo hello; while :; do sleep 0.05; done";
    let id = docker(&engine, &["run", "-d", "--name", "box", "-p", "80", "busybox:test", "sh", "-c", script]).ok();
    wait::until("the first line is logged", || {
        (docker(&engine, &["logs", "box"]).ok().stdout == "hello\n").then_some(())
    });
    let listed = docker(&engine, &["ps", "--no-trunc"]).ok().stdout;
    assert!(listed.contains(id.line()) && listed.contains("->80/tcp") && listed.contains("Up"), "{listed}");
    docker(&engine, &["exec", "box", "sh", "-c", "exit 9"]).exits(9);
    assert_eq!(docker(&engine, &["exec", "box", "echo", "inside"]).ok().stdout, "inside\n");
    assert!(docker(&engine, &["port", "box"]).ok().stdout.starts_with("80/tcp -> "));
    assert!(docker(&engine, &["top", "box"]).ok().stdout.contains("sleep"));
    docker(&engine, &["stop", "box"]).ok();
    assert_eq!(docker(&engine, &["inspect", "-f", "{{.State.ExitCode}}", "box"]).ok().line(), "4");
    assert!(docker(&engine, &["ps", "-a"]).ok().stdout.contains("Exited (4)"));
    docker(&engine, &["rm", "box"]).ok();
    assert_eq!(docker(&engine, &["ps", "-aq"]).ok().stdout, "");
    engine.finish();
}

#[test]
fn both_command_lines_see_the_same() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    docker(&engine, &["create", "--name", "theirs", "busybox:test", "sleep", "1000"]).ok();
    engine.cli(&["start", "theirs"]).ok();
    engine.cli(&["run", "-d", "--name", "ours", "busybox:test", "sleep", "1000"]).ok();
    let names = docker(&engine, &["ps", "--format", "{{.Names}}"]).ok().stdout;
    assert_eq!(names, engine.cli(&["ps", "--format", "{{.Names}}"]).ok().stdout);
    docker(&engine, &["rm", "-f", "ours", "theirs"]).ok();
    engine.finish();
}

#[test]
fn version_info_images_and_import() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    docker(&engine, &["version"]).ok();
    docker(&engine, &["info"]).ok();
    assert!(docker(&engine, &["images"]).ok().stdout.contains("busybox"));
    let mut command = engine.docker_command(&["import", "-", "imported:x"]).unwrap();
    Output::of(&mut command, wharf_testkit::golden::busybox_rootfs()).ok();
    docker(&engine, &["run", "--rm", "imported:x", "true"]).ok();
    docker(&engine, &["rmi", "imported:x"]).ok();
    engine.finish();
}
