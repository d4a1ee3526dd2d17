// What a user of E2B's JavaScript client does, in one sandbox: node sandbox.mjs PACKAGE TEMPLATE
import assert from "node:assert/strict";

const [packageName, template] = process.argv.slice(2);
const { CommandExitError, FileNotFoundError, Sandbox, TimeoutError } = await import(packageName);
const metadata = { user: "42", "with space": "ü&=" };
const step = (name) => console.log(`${packageName}: ${name}`);

async function failure(work) {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

async function until(what) {
  for (let left = 300; left > 0; left--) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`timed out: ${what}`);
}

const sbx = await Sandbox.create(template, { metadata, envs: { FOO: "bar" }, timeoutMs: 900_000 });
try {
  step("commands");
  const ran = await sbx.commands.run("echo out $FOO; echo err >&2; pwd; id -un", {
    envs: { A: "1" },
  });
  assert.deepEqual(ran, {
    exitCode: 0,
    error: undefined,
    stdout: "out bar\n/root\nroot\n",
    stderr: "err\n",
  });
  assert.equal(
    (await sbx.commands.run("pwd; id -un", { user: "bob", cwd: "/tmp" })).stdout,
    "/tmp\nbob\n",
  );
  const exit = await failure(sbx.commands.run("echo partly; exit 3"));
  assert(exit instanceof CommandExitError);
  assert.deepEqual([exit.exitCode, exit.stdout, exit.error], [3, "partly\n", "exit status 3"]);
  assert(
    (await failure(sbx.commands.run("sleep 100", { timeoutMs: 500 }))) instanceof TimeoutError,
  );
  await until(async () => (await sbx.commands.list()).length === 0);

  const cat = await sbx.commands.run("cat; echo done", { background: true, stdin: true });
  const [listed] = await sbx.commands.list();
  assert.deepEqual(
    [listed.pid, listed.cmd, listed.args.at(-1)],
    [cat.pid, "/bin/bash", "cat; echo done"],
  );
  await sbx.commands.sendStdin(cat.pid, "in\n");
  await sbx.commands.closeStdin(cat.pid);
  assert.equal((await cat.wait()).stdout, "in\ndone\n");

  const sleeper = await sbx.commands.run("sleep 100", { background: true });
  assert.equal(await sleeper.kill(), true);
  const killed = await failure(sleeper.wait());
  assert.deepEqual([killed.exitCode, killed.error], [-1, "signal: killed"]);
  assert.equal(await sbx.commands.kill(sleeper.pid), false);

  const left = await sbx.commands.run("read x; echo got $x; exit 5", {
    background: true,
    stdin: true,
  });
  await left.disconnect();
  const late = await sbx.commands.connect(left.pid);
  await sbx.commands.sendStdin(left.pid, "word\n");
  const lateExit = await failure(late.wait());
  assert.deepEqual([lateExit.exitCode, lateExit.stdout], [5, "got word\n"]);
  assert.equal((await failure((await sbx.commands.connect(left.pid)).wait())).exitCode, 5);

  const big = await sbx.commands.run("head -c 3000000 /dev/zero | tr '\\0' x");
  assert.equal(big.stdout.length, 3_000_000);

  step("pty");
  let screen = "";
  const onData = (bytes) => {
    screen += new TextDecoder().decode(bytes);
  };
  const pty = await sbx.pty.create({ cols: 80, rows: 24, onData });
  const type = (text) => sbx.pty.sendInput(pty.pid, new TextEncoder().encode(text));
  await type("stty size\n");
  await until(() => screen.includes("24 80"));
  await sbx.pty.resize(pty.pid, { cols: 100, rows: 30 });
  await type("stty size; exit 4\n");
  assert.equal((await failure(pty.wait())).exitCode, 4);
  assert(screen.includes("30 100"));

  step("files");
  const { files } = sbx;
  const written = await files.write("/tmp/deep/er/a.txt", "hello");
  assert.deepEqual(
    [written.name, written.type, written.path],
    ["a.txt", "file", "/tmp/deep/er/a.txt"],
  );
  assert.equal(await files.read("/tmp/deep/er/a.txt"), "hello");
  assert.deepEqual(
    [...(await files.read("/tmp/deep/er/a.txt", { format: "bytes" }))],
    [...Buffer.from("hello")],
  );
  const info = await files.getInfo("/tmp/deep/er/a.txt");
  assert.deepEqual(
    [info.size, info.permissions, info.owner, info.type],
    [5, "-rw-r--r--", "root", "file"],
  );
  await files.write("rel.txt", "by bob", { user: "bob" });
  assert.equal((await files.getInfo("/home/bob/rel.txt")).owner, "bob");
  assert.equal(await files.exists("/nope"), false);
  assert((await failure(files.read("/nope"))) instanceof FileNotFoundError);
  assert.deepEqual(
    [await files.makeDir("/tmp/dir/sub"), await files.makeDir("/tmp/dir/sub")],
    [true, false],
  );
  assert.equal(
    (await files.rename("/tmp/deep/er/a.txt", "/tmp/dir/new/b.txt")).path,
    "/tmp/dir/new/b.txt",
  );
  const names = (await files.list("/tmp/dir", { depth: 2 })).map(
    ({ path, type }) => `${type} ${path}`,
  );
  assert.deepEqual(names.sort(), [
    "dir /tmp/dir/new",
    "dir /tmp/dir/sub",
    "file /tmp/dir/new/b.txt",
  ]);
  await files.remove("/tmp/dir");
  assert.equal(await files.exists("/tmp/dir"), false);
  const text = "line\n".repeat(100_000);
  await files.write("/tmp/gz", text, { gzip: true });
  assert.equal(await files.read("/tmp/gz", { gzip: true }), text);
  const stream = new Blob([text]).stream();
  await files.write("/tmp/stream", stream);
  let streamed = 0;
  for await (const chunk of await files.read("/tmp/stream", { format: "stream" }))
    streamed += chunk.length;
  assert.equal(streamed, text.length);
  const many = await files.write([
    { path: "/tmp/m1", data: "1" },
    { path: "/tmp/m2", data: new Blob(["22"]) },
  ]);
  assert.deepEqual(
    many.map(({ path }) => path),
    ["/tmp/m1", "/tmp/m2"],
  );
  await files.write("/tmp/empty", "");
  assert.equal(await files.read("/tmp/empty"), "");

  step("signed URLs");
  const get = (url) => fetch(url).then(async (reply) => [reply.status, await reply.text()]);
  const url = await sbx.downloadUrl("/tmp/m2", { useSignatureExpiration: 60 });
  assert.deepEqual(await get(url), [200, "22"]);
  assert.equal((await get(url.replace("m2", "m1")))[0], 401);
  assert.equal(
    (await get(await sbx.downloadUrl("/tmp/m2", { useSignatureExpiration: -5 })))[0],
    401,
  );
  const form = new FormData();
  form.append("file", new Blob(["up"]), "name");
  const upload = await fetch(await sbx.uploadUrl("/tmp/up"), { method: "POST", body: form });
  assert.equal(upload.status, 200);
  assert.equal(await files.read("/tmp/up"), "up");

  step("watch");
  const events = [];
  await files.makeDir("/tmp/watched/sub");
  const watch = await files.watchDir("/tmp/watched", (event) => events.push(event), {
    recursive: true,
    includeEntry: true,
  });
  await files.write("/tmp/watched/sub/f", "1");
  await until(() => events.some(({ type }) => type === "write"));
  await files.remove("/tmp/watched/sub/f");
  await until(() => events.some(({ type }) => type === "remove"));
  await watch.stop();
  assert.deepEqual([...new Set(events.map(({ name }) => name))], ["sub/f"]);
  assert.equal(events.find(({ type }) => type === "create").entry.size, 1);

  step("control");
  const about = await sbx.getInfo();
  assert.deepEqual(
    [about.templateId, about.state, about.metadata],
    [template, "running", metadata],
  );
  await sbx.setTimeout(300_000);
  const left_ms = (await sbx.getInfo()).endAt - Date.now();
  assert(left_ms > 200_000 && left_ms <= 300_000, `ends in ${left_ms} ms`);
  const found = await Sandbox.list({ query: { metadata } }).nextItems();
  assert.deepEqual(
    found.map(({ sandboxId }) => sandboxId),
    [sbx.sandboxId],
  );
  assert.deepEqual(await Sandbox.list({ query: { metadata: { user: "43" } } }).nextItems(), []);
  const [metrics] = await sbx.getMetrics();
  assert(metrics.memTotal > metrics.memUsed && metrics.cpuCount > 0);
  assert.match(sbx.getHost(8080), new RegExp(`^8080-${sbx.sandboxId}\\.localhost:\\d+$`));

  if (!process.argv.includes("--quick")) {
    step("pause and resume");
    assert.equal(await sbx.pause(), true);
    assert.equal(await sbx.pause(), false);
    assert.equal(await sbx.isRunning(), false);
    assert.match((await failure(sbx.commands.run("true"))).name, /NotFound|Timeout/);
    const paused = await Sandbox.list({ query: { state: ["paused"] } }).nextItems();
    assert.deepEqual(
      paused.map(({ sandboxId }) => sandboxId),
      [sbx.sandboxId],
    );
    await sbx.createSnapshot({ name: "while-paused" });
    assert.equal(await sbx.isRunning(), false);
    assert.equal(await Sandbox.deleteSnapshot("while-paused"), true);
    await Sandbox.connect(sbx.sandboxId);
    assert.equal(await sbx.files.read("/tmp/m2"), "22");

    step("snapshot and fork");
    const snapshot = await sbx.createSnapshot({ name: "from-e2b" });
    assert.equal(snapshot.snapshotId, "from-e2b");
    assert.deepEqual(await sbx.listSnapshots().nextItems(), [snapshot]);
    const again = await Sandbox.create(snapshot.snapshotId, { timeoutMs: 900_000 });
    assert.equal(await again.files.read("/tmp/m2"), "22");
    assert.equal(await again.kill(), true);
    assert.deepEqual(
      [await Sandbox.deleteSnapshot("from-e2b"), await Sandbox.deleteSnapshot("from-e2b")],
      [true, false],
    );
    const [copy] = await sbx.fork();
    assert.equal(await copy.files.read("/tmp/m2"), "22");
    assert.notEqual(copy.sandboxId, sbx.sandboxId);
    assert.equal(await copy.kill(), true);
  }
  step("done");
} finally {
  assert.equal(await sbx.kill(), true);
}
assert.equal(await sbx.kill(), false);
