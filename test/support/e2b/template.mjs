// A template built with E2B's client, and a sandbox of it: node template.mjs FOLDER IMAGE
import assert from "node:assert/strict";
import { Sandbox, Template } from "e2b";

const [fileContextPath, image] = process.argv.slice(2);
const template = Template({ fileContextPath })
  .fromImage(image)
  .copy("file.txt", "/opt/")
  .setWorkdir("/opt")
  .runCmd("echo more >> built; ls >> built")
  .setEnvs({ FROM_TEMPLATE: "a b" })
  .setStartCmd("touch /tmp/started; sleep 1000", "test -e /tmp/started");
const name = "made-by-e2b";
assert.equal(await Template.exists(name), false);
const logs = [];
await Template.build(template, name, {
  memoryMB: 256,
  onBuildLogs: ({ message }) => logs.push(message),
});
assert.equal(await Template.exists(name), true);
assert(
  logs.some((message) => /RUN/.test(message)),
  logs.join("\n"),
);

const sandbox = await Sandbox.create(name, { timeoutMs: 600_000 });
try {
  const { stdout } = await sandbox.commands.run(
    "cat built; echo $FROM_TEMPLATE; pwd; ls /tmp/started",
  );
  assert.equal(stdout, "more\nbuilt\nfile.txt\na b\n/opt\n/tmp/started\n");
  assert.equal(await sandbox.files.read("file.txt"), "from the client");
  assert.equal((await sandbox.getInfo()).memoryMB, 256);
} finally {
  await sandbox.kill();
}

const bad = Template({ fileContextPath }).fromImage(image).runCmd("echo why >&2; exit 7");
const error = await Template.build(bad, "bad").then(
  () => undefined,
  (reason) => reason,
);
assert.match(error.message, /7/);
console.log("done");
