const assert = require('assert');
const Docker = require('dockerode');
const { PassThrough } = require('stream');

const docker = new Docker({ socketPath: process.env.SOCKET });

function collect() {
  const stream = new PassThrough();
  stream.text = '';
  stream.on('data', (piece) => { stream.text += piece; });
  return stream;
}

async function main() {
  assert.ok((await docker.version()).ApiVersion);
  assert.strictEqual((await docker.info()).OSType, 'linux');

  const output = collect();
  const [ended, once] = await docker.run('busybox:test', ['echo', 'hello'], output);
  assert.deepStrictEqual([ended.StatusCode, output.text], [0, 'hello\r\n']);
  await once.remove();

  const network = await docker.createNetwork({ Name: 'net', Labels: { a: 'b' } });
  const volume = await docker.createVolume({ Name: 'vol' });
  const box = await docker.createContainer({
    Image: 'busybox:test', Cmd: ['sleep', '1000'], name: 'box', Labels: { x: 'y' },
    HostConfig: { Init: true, Binds: ['vol:/data'], NetworkMode: 'net' },
  });
  await box.start();
  const exec = await box.exec({
    Cmd: ['sh', '-c', 'cat; echo err >&2; exit 3'], AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await exec.start({ hijack: true, stdin: true });
  const [out, err] = [collect(), collect()];
  docker.modem.demuxStream(stream, out, err);
  const end = new Promise((done) => stream.on('end', done));
  stream.end('abc');
  await end;
  assert.deepStrictEqual([out.text, err.text, (await exec.inspect()).ExitCode], ['abc', 'err\n', 3]);

  const listed = await docker.listContainers({ filters: { label: ['x=y'] } });
  assert.deepStrictEqual(listed.map((c) => c.Names), [['/box']]);
  assert.ok((await box.stats({ stream: false })).memory_stats);
  assert.ok((await network.inspect()).Containers[box.id]);
  await box.putArchive(await box.getArchive({ path: '/etc/passwd' }), { path: '/tmp' });
  const events = await docker.getEvents({ since: 1, until: Math.floor(Date.now() / 1000) + 1, filters: { container: ['box'] } });
  const told = collect();
  events.pipe(told);
  await new Promise((done) => events.on('end', done));
  assert.ok(told.text.includes('"start"'), told.text);
  await box.remove({ force: true });
  await network.remove();
  await volume.remove();
  await assert.rejects(docker.getContainer('box').inspect(), (e) => e.statusCode === 404 && /No such container: box/.test(e.json.message));
  console.log('done');
}

main().catch((error) => { console.error(error); process.exit(1); });
