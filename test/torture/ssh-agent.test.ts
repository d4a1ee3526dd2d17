/** The user's ssh agent in a real machine: OpenSSH's client there, its agent here, and the filter between them. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, runOk } from "#base/run.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { hostPrograms } from "#test/host-program.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";
import { type SshServer, startSshServer } from "#test/ssh-server.ts";
import { until } from "#test/until.ts";

const SMALL = ["--image", "busybox", "--mode", "direct", "--memory", "192M", "--disk", "64M"];
const machineTest = testNeeding("root", "ssh", "ssh-agent", "ssh-add", "ssh-keygen");

let banger: Installation;
let agent: Bun.Subprocess;
let server: SshServer;
let socket: string;
const path = (name: string): string => join(banger.home, name);

beforeAll(async () => {
  banger = install();
  if (process.getuid?.() !== 0) return;
  for (const name of ["host", "user"]) {
    await runOk(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path(name)]);
  }
  await giveKernel(banger);
  const more = [await hostPrograms("ssh", "ssh-add")];
  await busyboxLayout(path("busybox"), { more });
  const layout = `oci:${path("busybox")}`;
  await banger.ok("image", "pull", layout, "--name", "busybox", "--kernel-ref", KERNEL);
  socket = path("agent");
  agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", stderr: "ignore" });
  const env = { SSH_AUTH_SOCK: socket };
  await until(async () => (await run(["ssh-add", "-l"], { env })).exitCode === 1);
  await runOk(["ssh-add", "-q", path("user")], { env });
  server = await startSshServer(path("host"));
});

afterAll(async () => {
  server?.[Symbol.dispose]();
  // Its socket is in the installation's home.
  agent?.kill();
  await agent?.exited;
  await banger?.[Symbol.asyncDispose]();
});

machineTest("a machine logs in to a named host with the user's key, and to no other", async () => {
  const { port } = server;
  mkdirSync(path(".ssh"), { recursive: true, mode: 0o700 });
  const known = (key: string): void =>
    writeFileSync(path(".ssh/known_hosts"), `git.test ${key}\n`, { mode: 0o600 });
  known(readFileSync(path("host.pub"), "utf8").trim());
  const create = ["vm", "create", "--name", "box", "--net", "none", ...SMALL];
  const made = await banger.call([...create, "--ssh-agent", "git.test"], {
    env: { SSH_AUTH_SOCK: socket },
  });
  expect(made).toMatchObject({ status: 0 });
  expect(await inside("/tools/ssh-add -L")).toContain(publicKey());
  const forward = banger.spawn(["vm", "forward", "box", "-R", `${port}:2222`]);
  try {
    await until(async () => (await login()).includes("welcome"));
    // A relay of the daemon ends with it.
    await banger.ok("daemon", "restart");
    await until(async () => (await login()).includes("welcome"));
    await banger.ok("vm", "restart", "box");
    await until(async () => (await login()).includes("welcome"));
    const { decisions } = await banger.json<{ decisions: unknown[] }>("vm", "policy", "log", "box");
    expect(decisions.at(-1)).toMatchObject({
      verdict: "allowed",
      protocol: "ssh",
      name: "git.test",
    });
    known(publicKey());
    await until(async () => (await login()).includes("Permission denied"));
    expect(await banger.ok("vm", "policy", "log", "box")).toContain("not that of git.test");
  } finally {
    forward.kill();
    await forward.exited;
  }
});

const publicKey = (): string =>
  readFileSync(path("user.pub"), "utf8").split(" ").slice(0, 2).join(" ");

async function login(): Promise<string> {
  const options = [
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "BatchMode=yes",
    "LogLevel=ERROR",
  ].map((option) => `-o ${option}`);
  return await inside(`/tools/ssh ${options.join(" ")} -p 2222 git@127.0.0.1 hello 2>&1; true`);
}

async function inside(script: string): Promise<string> {
  const { stdout } = await banger.call(["vm", "exec", "box", "--", "sh", "-c", script]);
  return stdout;
}
