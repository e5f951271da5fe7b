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

# Networks, volumes, archives, logs, stats, events, commits, builds.
import io, tarfile, time
network = client.networks.create("net", labels={"a": "b"}, internal=False)
volume = client.volumes.create("vol", labels={"a": "b"})
assert [v.name for v in client.volumes.list(filters={"label": "a=b"})] == ["vol"]
since = int(time.time()) - 1
box = client.containers.create("busybox:test", ["sh", "-c", "echo one; echo two >&2; sleep 1000"], name="web", init=True,
    network="net", volumes={"vol": {"bind": "/data", "mode": "rw"}}, environment={"A": "b"}, mem_limit="64m",
    ports={"80/tcp": ("127.0.0.1", None)}, ulimits=[docker.types.Ulimit(name="nofile", soft=1024, hard=2048)],
    healthcheck={"test": ["CMD", "true"], "interval": 1000000000}, tmpfs={"/run": "size=1m"}, cap_drop=["MKNOD"])
box.start()
box.reload()
assert box.ports["80/tcp"][0]["HostIp"] == "127.0.0.1", box.ports
follow = box.logs(stream=True, follow=True)
seen = {next(follow), next(follow)}
assert seen == {b"one\n", b"two\n"}, seen
follow.close()
assert box.logs(stdout=True, stderr=False) == b"one\n"
assert box.logs(tail=1, timestamps=True).count(b"Z ") == 1
assert box.stats(stream=False)["memory_stats"]["usage"] > 0
assert any("sleep" in " ".join(row) for row in box.top()["Processes"])
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as archive:
    entry = tarfile.TarInfo("note")
    entry.size = 3
    archive.addfile(entry, io.BytesIO(b"abc"))
assert box.put_archive("/data", packed.getvalue())
pieces, stat = box.get_archive("/data/note")
assert stat["size"] == 3
with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
    assert archive.extractfile("note").read() == b"abc"
assert {"Path": "/data", "Kind": 0} not in box.diff()
network.disconnect(box)
network.connect(box, aliases=["other"])
assert "other" in client.api.inspect_container("web")["NetworkSettings"]["Networks"]["net"]["Aliases"]
box.pause(); box.unpause(); box.rename("site"); box.update(mem_limit="96m", memswap_limit="96m")
socket = client.api.exec_start(client.api.exec_create("site", ["cat"], stdin=True)["Id"], socket=True)
socket._sock.sendall(b"hello")
socket._sock.shutdown(1)
assert b"hello" in socket.read(), "stdin of an exec"
image = box.commit("saved", "1", changes=["ENV X=y"])
assert "X=y" in client.images.get("saved:1").attrs["Config"]["Env"]
exported = b"".join(client.images.get("saved:1").save(named=True))
client.images.remove("saved:1")
assert client.images.load(exported)[0].tags == ["saved:1"]
built, log = client.images.build(fileobj=io.BytesIO(b"FROM busybox:test\nRUN echo hi > /hi\nLABEL k=v\n"), tag="built:1")
assert built.labels == {"k": "v"} and any("stream" in line for line in log)
assert client.containers.run("built:1", "cat /hi", remove=True) == b"hi\n"
box.restart(timeout=0); box.stop(timeout=0)
actions = [e["Action"] for e in client.events(since=since, until=int(time.time()) + 1, filters={"type": "container"}, decode=True)]
for action in ["create", "start", "pause", "unpause", "rename", "update", "commit", "die", "stop"]:
    assert action in actions, (action, actions)
assert client.df()["Containers" if "Containers" in client.df() else "ContainerUsage"]
box.remove(v=True)
network.remove(); volume.remove()
for name in ["saved:1", "built:1"]:
    client.images.remove(name)
assert client.containers.prune()["SpaceReclaimed"] == 0
assert client.info()["OSType"] == "linux"
try:
    client.swarm.attrs
    client.services.list()
    raise SystemExit("a swarm?")
except docker.errors.APIError as error:
    assert error.status_code == 503 and "not a swarm manager" in error.explanation, error
print("done")
