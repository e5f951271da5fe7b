//! BuildKit's protocol, as Docker's buildx speaks it with the `docker` driver.

use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_testkit::{Output, TempEngine, foreign};

use super::{assert_no_steps, context, run, write};

/// Where buildx is: `cargo xtask test` fetches it.
pub(super) fn buildx() -> Option<PathBuf> {
    let places =
        ["/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins"];
    let installed = places.iter().map(|folder| Path::new(folder).join("docker-buildx"));
    let given = std::env::var_os("WHARF_TEST_BUILDX").map(PathBuf::from);
    let found = given.into_iter().chain(installed).find(|path| path.is_file());
    if found.is_none() {
        foreign::skip("docker-buildx is not installed");
    }
    found
}

struct Client<'a> {
    program: PathBuf,
    engine: &'a TempEngine,
}

impl Client<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.engine.scratch()).env("DOCKER_HOST", self.engine.host());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments), b"")
    }

    fn build(&self, arguments: &[&str]) -> Output {
        self.run(&[&["build", "--progress=plain"], arguments].concat())
    }
}

const SERVICE: &str = "FROM busybox:test AS base
ARG WHO=nobody
RUN --mount=type=secret,id=word cp /run/secrets/word /word; echo said by $WHO
FROM base
COPY . /ctx
RUN ls -a /ctx > /list
CMD [\"cat\", \"/list\"]
";

#[test]
fn buildx_builds_with_the_docker_driver() {
    let Some(program) = buildx() else { return };
    let engine = TempEngine::start();
    let client = Client { program, engine: &engine };
    let files = [
        ("Dockerfile", SERVICE),
        ("a.txt", "a\n"),
        ("d/b", "b"),
        (".dockerignore", "skipped\n*.md\n!keep.md"),
        ("skipped", ""),
        ("x.md", ""),
        ("keep.md", ""),
    ];
    let folder = context(&engine, &files);
    std::os::unix::fs::symlink("a.txt", folder.join("link")).unwrap();
    std::fs::hard_link(folder.join("a.txt"), folder.join("same")).unwrap();
    write(&engine.scratch(), &[("word", "sesame")]);
    let secret = format!("id=word,src={}", engine.scratch().join("word").display());
    let iid = engine.scratch().join("iid");
    let (path, iid_path) = (folder.to_str().unwrap(), iid.to_str().unwrap());
    let flags =
        ["-t", "one:x", "-t", "two:y", "--secret", &secret, "--build-arg", "WHO=me", "--iidfile", iid_path, path];
    let first = client.build(&flags).ok();
    assert!(first.stderr.contains("said by me") && first.stderr.contains("transferring context"), "{}", first.stderr);
    assert_eq!(run(&engine, "one:x", "cat /word /ctx/same"), "sesamea\n");
    assert_eq!(run(&engine, "two:y", "cat /list"), ".\n..\n.dockerignore\nDockerfile\na.txt\nd\nkeep.md\nlink\nsame\n");
    let id = std::fs::read_to_string(&iid).unwrap();
    assert_eq!(engine.cli(&["inspect", "-f", "{{.Id}}", "one:x"]).ok().line(), id);
    let again = client.build(&flags).ok();
    assert_eq!(again.stderr.matches("CACHED").count(), 4, "{}", again.stderr);
    assert!(
        !again.stderr.contains("said by me") && again.stderr.contains("transferring context: done"),
        "{}",
        again.stderr
    );
    assert_eq!(std::fs::read_to_string(&iid).unwrap(), id);
    write(&folder, &[("d/b", "changed")]);
    let changed = client.build(&flags).ok();
    assert!(changed.stderr.contains("transferring context: 7B"), "{}", changed.stderr);
    assert_eq!(run(&engine, "one:x", "cat /ctx/d/b"), "changed");
    engine.finish();
}

#[test]
fn results_go_to_the_client() {
    let Some(program) = buildx() else { return };
    let engine = TempEngine::start();
    let client = Client { program, engine: &engine };
    let text = "FROM scratch\nCOPY --chmod=640 a.txt /dir/a\nCOPY big /big\n";
    let big = "0123456789".repeat(300_000);
    let folder = context(&engine, &[("Dockerfile", text), ("a.txt", "a\n"), ("big", &big)]);
    let (path, out) = (folder.to_str().unwrap(), engine.scratch().join("out"));
    client.build(&["-o", out.to_str().unwrap(), path]).ok();
    assert_eq!(std::fs::read_to_string(out.join("dir/a")).unwrap(), "a\n");
    assert_eq!(std::fs::read_to_string(out.join("big")).unwrap(), big);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(out.join("dir/a")).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o640);
    let tar = engine.scratch().join("out.tar");
    client.build(&["-o", &format!("type=tar,dest={}", tar.display()), path]).ok();
    let listed = Output::of(Command::new("tar").arg("-tf").arg(&tar), b"").ok();
    assert_eq!(listed.stdout, "big\ndir/\ndir/a\n");
    assert_eq!(engine.cli(&["images", "-q"]).ok().stdout.lines().count(), 1, "nothing but the golden image");
    engine.finish();
}

#[test]
fn failures_have_their_place() {
    let Some(program) = buildx() else { return };
    let engine = TempEngine::start();
    let client = Client { program, engine: &engine };
    let files = [("Dockerfile", "FROM busybox:test\nRUN echo doing; exit 7\n"), ("bad", "FROM busybox:test\nRUM x\n")];
    let folder = context(&engine, &files);
    let path = folder.to_str().unwrap();
    let failed = client.build(&[path]).exits(1);
    for words in ["doing", "Dockerfile:2", ">>> RUN echo doing; exit 7", "did not complete successfully: exit code: 7"]
    {
        assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    }
    let bad = client.build(&["-f", folder.join("bad").to_str().unwrap(), path]).exits(1);
    assert!(bad.stderr.contains(">>> RUM x") && bad.stderr.contains("unknown instruction: RUM"), "{}", bad.stderr);
    let missing = client.build(&["-f", folder.join("none").to_str().unwrap(), path]).exits(1);
    assert!(missing.stderr.contains("no such file"), "{}", missing.stderr);
    let no_secret =
        context(&engine, &[("Dockerfile", "FROM busybox:test\nRUN --mount=type=secret,id=w,required true\n")]);
    let refused = client.build(&[no_secret.to_str().unwrap()]).exits(1);
    assert!(refused.stderr.contains("secret w"), "{}", refused.stderr);
    assert_no_steps(&engine);
    engine.finish();
}

#[test]
fn what_else_buildx_asks() {
    let Some(program) = buildx() else { return };
    let engine = TempEngine::start();
    let client = Client { program, engine: &engine };
    let folder = context(&engine, &[("Dockerfile", "FROM busybox:test AS Base\nCOPY Dockerfile /\n")]);
    let path = folder.to_str().unwrap();
    let built = client.build(&["-t", "x", path]).ok();
    assert!(built.stderr.contains("StageNameCasing"), "{}", built.stderr);
    let listed = client.run(&["ls"]).ok();
    assert!(listed.stdout.contains("running") && listed.stdout.contains("linux/"), "{}", listed.stdout);
    let used = client.run(&["du"]).ok();
    assert!(used.stdout.contains("Total:"), "{}", used.stdout);
    engine.cli(&["rmi", "x"]).ok();
    let pruned = client.run(&["prune", "-f"]).ok();
    assert!(pruned.stdout.contains("Total:\t") && !pruned.stdout.contains("Total:\t0B"), "{}", pruned.stdout);
    assert!(!engine.cli(&["builder", "du"]).ok().stdout.contains("regular"), "no record is left");
    // A Dockerfile alone, and a whole context, from standard input.
    let mut command = client.command(&["build", "-t", "text", "-"]);
    Output::of(&mut command, b"FROM busybox:test\nRUN echo from text > /t\n").ok();
    assert_eq!(run(&engine, "text", "cat /t"), "from text\n");
    let archive = Command::new("tar").args(["-C", path, "-c", "."]).output().unwrap().stdout;
    Output::of(&mut client.command(&["build", "-t", "archive", "-"]), &archive).ok();
    assert!(run(&engine, "archive", "cat /Dockerfile").starts_with("FROM busybox"));
    engine.finish();
}

#[test]
fn an_agent_is_lent() {
    let (Some(program), Some(agent)) = (buildx(), foreign::need("ssh-agent")) else { return };
    let engine = TempEngine::start();
    let client = Client { program, engine: &engine };
    let socket = engine.scratch().join("agent.sock");
    let mut agent =
        Command::new(agent).arg("-D").arg("-a").arg(&socket).stdout(std::process::Stdio::null()).spawn().unwrap();
    wharf_testkit::wait::until("the agent listens", || socket.exists().then_some(()));
    let text = "FROM busybox:test\nRUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\"\n";
    let folder = context(&engine, &[("Dockerfile", text)]);
    let lent = client.build(&["--ssh", &format!("default={}", socket.display()), folder.to_str().unwrap()]);
    let none = client.build(&["--no-cache", folder.to_str().unwrap()]);
    agent.kill().unwrap();
    agent.wait().unwrap();
    lent.ok();
    none.exits(1);
    let left: Vec<_> = std::fs::read_dir(engine.run_folder().join("agents")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    engine.finish();
}
