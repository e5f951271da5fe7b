//! `POST /build`, as Docker's own command line without BuildKit sends it.

use wharf_testkit::{Output, TempEngine, foreign};

use super::{context, run};

fn docker_build(engine: &TempEngine, arguments: &[&str]) -> Output {
    let mut command = engine.docker_command(&[&["build"], arguments].concat()).expect("the test has looked for docker");
    Output::of(command.env("DOCKER_BUILDKIT", "0"), b"")
}

#[test]
fn dockers_command_line_builds() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let text =
        "FROM busybox:test\nARG A=1\nENV B=$A\nCOPY a.txt /a\nRUN echo said; echo $B >> /a\nCMD [\"cat\", \"/a\"]\n";
    let files = [("Dockerfile", text), ("a.txt", "a\n"), (".dockerignore", "secret"), ("secret", "")];
    let folder = context(&engine, &files);
    let path = folder.to_str().unwrap();
    let output = docker_build(&engine, &["-t", "classic", "--build-arg", "A=2", path]).ok();
    for line in [
        "Step 1/6 : FROM busybox:test",
        "Step 5/6 : RUN echo said",
        "said",
        "Successfully built",
        "Successfully tagged classic:latest",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
    assert_eq!(engine.cli(&["run", "--rm", "classic"]).ok().stdout, "a\n2\n");
    let again = docker_build(&engine, &["-t", "classic", "--build-arg", "A=2", path]).ok();
    assert_eq!(again.stdout.matches("Using cache").count(), 2, "{}", again.stdout);
    let quiet = docker_build(&engine, &["-q", "--build-arg", "A=2", path]).ok();
    assert!(quiet.line().starts_with("sha256:"), "{}", quiet.stdout);
    assert_eq!(run(&engine, quiet.line(), "cat /a"), "a\n2\n");
    engine.finish();
}

#[test]
fn failures_are_told_in_dockers_words() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let files = [("Dockerfile", "FROM busybox:test\nRUN exit 7\n"), ("bad", "FROM busybox:test\nRUM x\n")];
    let folder = context(&engine, &files);
    let path = folder.to_str().unwrap();
    let output = docker_build(&engine, &[path]).exits(7);
    assert!(output.stderr.contains("returned a non-zero code: 7"), "{}", output.stderr);
    let bad = folder.join("bad");
    let output = docker_build(&engine, &["-f", bad.to_str().unwrap(), path]).exits(1);
    assert!(output.stderr.contains("unknown instruction: RUM"), "{}", output.stderr);
    engine.finish();
}
