//! docker-py, the SDK for Python.

use std::process::Command;

use wharf_testkit::{Output, TempEngine, foreign};

/// Set by `cargo xtask test` to an interpreter that can import `docker`.
const PYTHON: &str = "WHARF_TEST_PYTHON";

const PROGRAM: &str = r#"
import docker

client = docker.from_env()
assert client.ping()
assert client.version()["ApiVersion"]
assert client.containers.run("busybox:test", ["echo", "hello"], remove=True) == b"hello\n"

try:
    client.containers.run("busybox:test", ["sh", "-c", "echo oops >&2; exit 3"], remove=True)
    raise SystemExit("no error")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3 and b"oops" in error.stderr, error

box = client.containers.run("busybox:test", ["sleep", "1000"], detach=True, name="box", labels={"a": "b"})
assert [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["box"]
code, output = box.exec_run(["sh", "-c", "echo out; exit 5"])
assert (code, output) == (5, b"out\n"), (code, output)
box.reload()
assert box.status == "running"
assert box.attrs["NetworkSettings"]["IPAddress"] or box.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
box.kill()
assert box.wait()["StatusCode"] == 137
box.remove()
try:
    client.containers.get("box")
    raise SystemExit("still there")
except docker.errors.NotFound:
    pass
try:
    client.images.get("no-such-image")
    raise SystemExit("no error")
except docker.errors.ImageNotFound:
    pass
assert client.images.get("busybox:test").tags == ["busybox:test"]
print("done")
"#;

#[test]
fn containers_execs_images_and_errors() {
    let Some(python) = std::env::var_os(PYTHON) else {
        return foreign::skip("docker-py is not there (WHARF_TEST_PYTHON is not set)");
    };
    let engine = TempEngine::start();
    let mut command = Command::new(python);
    let output = Output::of(command.args(["-c", PROGRAM]).env("DOCKER_HOST", engine.host()), b"").ok();
    assert_eq!(output.stdout, "done\n");
    engine.finish();
}
