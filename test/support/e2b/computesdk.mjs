// ComputeSDK on its E2B provider: node computesdk.mjs TEMPLATE
import assert from "node:assert/strict";
import { e2b } from "@computesdk/e2b";
import { compute } from "computesdk";

const [templateId] = process.argv.slice(2);
const provider = e2b({ apiKey: process.env.E2B_API_KEY });
compute.setConfig({ provider });
const sandbox = await compute.sandbox.create({ templateId, timeout: 600_000 });
try {
  const ran = await sandbox.runCommand("echo hello; exit 0");
  assert.deepEqual([ran.stdout, ran.exitCode], ["hello\n", 0]);
  await sandbox.filesystem.mkdir("/tmp/c");
  await sandbox.filesystem.writeFile("/tmp/c/f", "text");
  assert.equal(await sandbox.filesystem.readFile("/tmp/c/f"), "text");
  assert.deepEqual(
    (await sandbox.filesystem.readdir("/tmp/c")).map(({ name }) => name),
    ["f"],
  );
  assert.equal(await sandbox.filesystem.exists("/tmp/c/f"), true);
  await sandbox.filesystem.remove("/tmp/c/f");
  assert.equal(await sandbox.filesystem.exists("/tmp/c/f"), false);
  assert.match(await sandbox.getUrl({ port: 80, protocol: "http" }), /^http:\/\/80-/);
  const found = await provider.sandbox.getById(sandbox.sandboxId);
  assert.equal((await found.runCommand("id -u")).stdout, "0\n");
  assert.equal((await provider.sandbox.list()).length, 1);
} finally {
  await provider.sandbox.destroy(sandbox.sandboxId);
}
assert.equal((await provider.sandbox.list()).length, 0);
console.log("done");
