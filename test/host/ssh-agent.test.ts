/** The user's ssh agent behind the filter, with OpenSSH's own client, agent and ssh-keygen. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Decision } from "#api/network.ts";
import { run } from "#base/run.ts";
import { serveAgent } from "#egress/ssh-agent/filter.ts";
import { KnownHosts } from "#egress/ssh-agent/known-hosts.ts";
import { testNeeding } from "#test/needs.ts";
import { startSshServer } from "#test/ssh-server.ts";

const needing = testNeeding("ssh", "ssh-agent", "ssh-keygen", "ssh-add");
const USER_KINDS = ["ed25519", "ecdsa", "rsa"];
const HOST_KINDS = ["ed25519", "ecdsa", "rsa"];

let folder: string;
let agent: Bun.Subprocess;
let decisions: Decision[] = [];
const servers: { close(): void }[] = [];

const path = (name: string): string => join(folder, name);
const publicOf = (name: string): string =>
  readFileSync(path(`${name}.pub`), "utf8")
    .split(" ")
    .slice(0, 2)
    .join(" ");

async function keygen(name: string, kind: string): Promise<void> {
  await run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path(name)]);
}

/** A server with one host key. Gives its port. */
async function sshServer(hostKey: string): Promise<number> {
  const server = await startSshServer(path(hostKey));
  servers.push({ close: () => server[Symbol.dispose]() });
  return server.port;
}

/** The filter's socket, as the machine has it. */
async function filtered(hosts: string[]): Promise<string> {
  const socket = path(`filter-${servers.length}`);
  const server = createServer({ allowHalfOpen: true }, (client) => {
    void serveAgent(client, {
      machineId: "m",
      hosts,
      socket: path("agent"),
      known: new KnownHosts(path("known_hosts")),
      record: (decision) => decisions.push(decision),
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return socket;
}

async function ssh(
  socket: string,
  { port, user, more = [] }: { port: number; user: string; more?: string[] },
) {
  // The machine's client knows nothing of the hosts: it may trust whomever it likes.
  const options = [
    ["BatchMode", "yes"],
    ["StrictHostKeyChecking", "no"],
    ["UserKnownHostsFile", "/dev/null"],
    ["IdentitiesOnly", "yes"],
    ["IdentityFile", path(`user-${user}.pub`)],
    ["IdentityAgent", socket],
    ["LogLevel", "ERROR"],
  ].map(([name, value]) => `-o${name}=${value}`);
  const argv = ["ssh", "-F", "none", ...options, ...more, "-p", String(port), "git@127.0.0.1"];
  return await run([...argv, "hello"]);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-ssh-agent-"));
  if (!Bun.which("ssh-agent") || !Bun.which("ssh-keygen")) return;
  for (const kind of HOST_KINDS) await keygen(`host-${kind}`, kind);
  for (const kind of USER_KINDS) await keygen(`user-${kind}`, kind);
  await keygen("host-other", "ed25519");
  const known = HOST_KINDS.map((kind) => `git.test ${publicOf(`host-${kind}`)}`);
  known.push(`[git.test]:2222 ${publicOf("host-other")}`);
  writeFileSync(path("known_hosts"), `${known.join("\n")}\n`);
  // Names as hashes, as Debian's ssh keeps them.
  await run(["ssh-keygen", "-H", "-f", path("known_hosts")]);
  agent = Bun.spawn(["ssh-agent", "-D", "-a", path("agent")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const env = { SSH_AUTH_SOCK: path("agent") };
  for (let isUp = false; !isUp; await Bun.sleep(20)) {
    isUp = (await run(["ssh-add", "-l"], { env })).exitCode === 1;
  }
  for (const kind of USER_KINDS) await run(["ssh-add", "-q", path(`user-${kind}`)], { env });
});
afterAll(async () => {
  for (const server of servers) server.close();
  agent?.kill();
  await agent?.exited;
  rmSync(folder, { recursive: true, force: true });
});

needing("logins to a named host are signed, with every kind of key", async () => {
  const socket = await filtered(["git.test"]);
  for (const [at, kind] of HOST_KINDS.entries()) {
    decisions = [];
    const user = USER_KINDS[at] ?? "";
    const port = await sshServer(`host-${kind}`);
    expect(await ssh(socket, { port, user })).toMatchObject({ exitCode: 0, stdout: "welcome\n" });
    expect(decisions).toMatchObject([{ verdict: "allowed", protocol: "ssh", name: "git.test" }]);
  }
});

needing("a login to another host is not, although the client trusts it", async () => {
  const socket = await filtered(["git.test"]);
  const port = await sshServer("host-other");
  decisions = [];
  const { exitCode, stdout } = await ssh(socket, { port, user: "ed25519" });
  expect({ exitCode, stdout }).toEqual({ exitCode: 255, stdout: "" });
  expect(new Set(decisions.map(({ verdict }) => verdict))).toEqual(new Set(["denied"]));
  expect(decisions[0]?.reason).toContain("not that of git.test");
  // The same key under the name with its port.
  const other = await filtered(["[git.test]:2222"]);
  expect((await ssh(other, { port, user: "ed25519" })).stdout).toBe("welcome\n");
});

needing("keys can be listed, and neither changed nor used for other signatures", async () => {
  const env = { SSH_AUTH_SOCK: await filtered(["git.test"]) };
  const { stdout } = await run(["ssh-add", "-L"], { env });
  for (const kind of USER_KINDS) expect(stdout).toContain(publicOf(`user-${kind}`));
  for (const words of [["-D"], ["-x"], ["-d", path("user-rsa.pub")], [path("host-other")]]) {
    const { exitCode } = await run(["ssh-add", ...words], { env, stdin: "p\np\n" });
    expect(exitCode, words.join(" ")).not.toBe(0);
  }
  writeFileSync(path("text"), "a commit");
  const words = ["-Y", "sign", "-n", "git", "-f", path("user-ed25519.pub"), path("text")];
  expect((await run(["ssh-keygen", ...words], { env })).exitCode).not.toBe(0);
  expect((await run(["ssh-add", "-L"], { env })).stdout).toBe(stdout);
});
