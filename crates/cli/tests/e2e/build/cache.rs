//! What is built once is not built again.

use std::process::Stdio;

use wharf_testkit::{Output, TempEngine, wait};

use super::{assert_no_steps, build, build_text, context, run, write};

const DOCKERFILE: &str =
    "FROM busybox:test\nCOPY a.txt /a\nRUN cat /a > /b && head -c 8 /dev/urandom | od -x > /r\nCOPY b.txt /c\n";

#[test]
fn content_decides_and_times_do_not() {
    let engine = TempEngine::start();
    let folder = context(&engine, &[("Dockerfile", DOCKERFILE), ("a.txt", "1"), ("b.txt", "2")]);
    let first = build(&engine, &folder, &["-q"]).ok().stdout;
    let touched = std::fs::File::options().write(true).open(folder.join("a.txt")).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    assert_eq!(build(&engine, &folder, &["-q"]).ok().stdout, first);
    write(&folder, &[("b.txt", "3")]);
    let output = build(&engine, &folder, &[]).ok();
    assert_eq!(output.stderr.matches("CACHED").count(), 3, "{}", output.stderr);
    let output = build(&engine, &folder, &["--no-cache"]).ok();
    assert_eq!(output.stderr.matches("CACHED").count(), 1, "{}", output.stderr);
    engine.finish();
}

#[test]
fn the_cache_outlives_the_engine_and_is_pruned() {
    let mut engine = TempEngine::start();
    let folder = context(&engine, &[("Dockerfile", DOCKERFILE), ("a.txt", "1"), ("b.txt", "2")]);
    let first = build(&engine, &folder, &["-q", "-t", "kept"]).ok().stdout;
    engine.kill9();
    engine.restart();
    assert_eq!(build(&engine, &folder, &["-q"]).ok().stdout, first);
    assert!(engine.cli(&["builder", "du"]).ok().stdout.contains("COPY a.txt /a"));
    engine.cli(&["rmi", "-f", "kept"]).ok();
    let pruned = engine.cli(&["builder", "prune", "-af"]).ok().stdout;
    assert!(pruned.contains("Deleted build cache objects"), "{pruned}");
    assert_eq!(engine.get("/system/df")["BuildCacheUsage"]["TotalCount"], 0);
    assert_ne!(build(&engine, &folder, &["-q"]).ok().stdout, first);
    engine.finish();
}

/// A build whose last step sleeps, once it does.
fn sleeping(engine: &TempEngine, text: &str) -> std::process::Child {
    let folder = context(engine, &[("Dockerfile", text)]);
    let mut command = engine.cli_command(&["build", "-q", folder.to_str().unwrap()]);
    let client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait::until("the step runs", || (steps(engine) == 1).then_some(()));
    client
}

/// How many steps have a monitor.
fn steps(engine: &TempEngine) -> usize {
    let folders = std::fs::read_dir(engine.run_folder().join("c")).into_iter().flatten().flatten();
    folders.filter(|folder| folder.path().join("monitor.sock").exists()).count()
}

#[test]
fn a_build_whose_client_goes_away_ends_and_leaves_nothing() {
    let engine = TempEngine::start();
    let mut client = sleeping(&engine, "FROM busybox:test\nRUN sleep 1000\n");
    client.kill().unwrap();
    client.wait().unwrap();
    wait::until("the step is gone", || {
        let folders = std::fs::read_dir(engine.run_folder().join("c")).unwrap().flatten();
        (folders.count() == 0).then_some(())
    });
    wait::until("its folders are gone", || {
        let names = std::fs::read_dir(engine.root().join("containers")).unwrap().flatten();
        (names.filter(|entry| entry.file_name().len() == 64).count() == 0).then_some(())
    });
    engine.finish();
}

#[test]
fn an_engine_that_dies_in_mid_build_leaves_the_cache_and_nothing_else() {
    let mut engine = TempEngine::start();
    build_text(&engine, "FROM busybox:test\nRUN echo first > /x\n", &[]).ok();
    let mut client = sleeping(&engine, "FROM busybox:test\nRUN echo first > /x\nRUN sleep 1000\n");
    engine.kill9();
    client.wait().unwrap();
    engine.restart();
    assert_eq!(steps(&engine), 0);
    assert_no_steps(&engine);
    let output = build_text(&engine, "FROM busybox:test\nRUN echo first > /x\nRUN true\n", &["-t", "after"]).ok();
    assert!(output.stderr.matches("CACHED").count() == 2, "{}", output.stderr);
    assert_eq!(run(&engine, "after", "cat /x"), "first\n");
    engine.finish();
}

#[test]
fn what_two_builds_do_at_once_is_done_once() {
    let engine = TempEngine::start();
    let text = "FROM busybox:test\nRUN sleep 0.5; head -c 8 /dev/urandom | od -x > /r\n";
    let folder = context(&engine, &[("Dockerfile", text)]);
    let start = || {
        let mut command = engine.cli_command(&["build", "-q", folder.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (one, two) = (start(), start());
    let (one, two) = (Output::of_child(one).ok(), Output::of_child(two).ok());
    assert_eq!(one.stdout, two.stdout);
    engine.finish();
}

#[test]
fn only_what_changed_is_sent() {
    let engine = TempEngine::start();
    let folder = context(&engine, &[("Dockerfile", "FROM scratch\nCOPY . /\n"), ("small", "x")]);
    std::fs::write(folder.join("large"), vec![7; 8 << 20]).unwrap();
    let sent = |output: Output| {
        let output = output.ok();
        let line = output.stderr.lines().find(|line| line.contains("transferring context")).unwrap();
        line.split(": ").last().unwrap().to_owned()
    };
    assert!(sent(build(&engine, &folder, &[])).ends_with("MB"));
    assert_eq!(sent(build(&engine, &folder, &[])), "0B");
    write(&folder, &[("small", "yy")]);
    assert_eq!(sent(build(&engine, &folder, &[])), "2B");
    std::fs::remove_file(folder.join("large")).unwrap();
    let out = engine.scratch().join("out");
    assert_eq!(sent(build(&engine, &folder, &["-o", out.to_str().unwrap()])), "0B");
    assert!(!out.join("large").exists() && out.join("small").exists());
    engine.finish();
}
