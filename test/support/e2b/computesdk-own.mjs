// ComputeSDK on the provider of the SDK's package, with an image named "busybox".
import assert from "node:assert/strict";
import { banger } from "banger/computesdk";
import { compute } from "computesdk";

const provider = banger({ image: "busybox", defaults: { memory: "256M" } });
compute.setConfig({ provider });
const metadata = { of: "test" };
const sandbox = await compute.sandbox.create({ timeout: 600_000, envs: { A: "b" }, metadata });
try {
  assert.equal(sandbox.provider, "banger");
  const ran = await sandbox.runCommand("echo $A $C; pwd; echo e >&2; exit 3", {
    cwd: "/tmp",
    env: { C: "d" },
  });
  assert.deepEqual([ran.stdout, ran.stderr, ran.exitCode], ["b d\n/tmp\n", "e\n", 3]);
  const seen = [];
  await sandbox.runCommand("echo streamed", { onStdout: (text) => seen.push(text) });
  assert.equal(seen.join(""), "streamed\n");
  await sandbox.filesystem.mkdir("/tmp/a/b");
  await sandbox.filesystem.writeFile("/tmp/a/b/f", "text");
  assert.equal(await sandbox.filesystem.readFile("/tmp/a/b/f"), "text");
  const [entry] = await sandbox.filesystem.readdir("/tmp/a/b");
  assert.deepEqual([entry.name, entry.type, entry.size], ["f", "file", 4]);
  await sandbox.runCommand("httpd -f -p 8080 -h /tmp/a/b", { background: true });
  const url = await sandbox.getUrl({ port: 8080 });
  for (;;) {
    const text = await fetch(`${url}/f`)
      .then((page) => page.text())
      .catch(() => "");
    if (text === "text") break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await sandbox.filesystem.remove("/tmp/a");
  assert.equal(await sandbox.filesystem.exists("/tmp/a/b/f"), false);
  const info = await sandbox.getInfo();
  assert.deepEqual([info.status, info.timeout, info.metadata], ["running", 600_000, metadata]);
  const found = await compute.sandbox.getById(sandbox.sandboxId);
  assert.equal((await found.runCommand("id -u")).stdout, "0\n");
  assert.equal(await provider.sandbox.getById("none"), null);
  assert.equal((await provider.sandbox.list()).length, 1);
} finally {
  await compute.sandbox.destroy(sandbox.sandboxId);
}
assert.equal((await provider.sandbox.list()).length, 0);
console.log("done");
process.exit(0);
