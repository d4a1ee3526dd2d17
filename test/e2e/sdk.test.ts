/**
 * The ways in for programs: the published package as its user has it, packed, installed into an empty project, under
 * Node and under Bun; and MCP, by its SDK's client.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { pullBusybox } from "#test/busybox.ts";
import { npmClients } from "#test/e2b/clients.ts";
import { BUILT, type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { httpClient, stdioClient } from "#test/mcp/client.ts";
import { until } from "#test/until.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const ROOT = join(import.meta.dir, "../..");
const TSC = join(ROOT, "node_modules/.bin/tsc");
const examples = [
  ...readFileSync(join(ROOT, "sdk/README.md"), "utf8").matchAll(/^```js\n(.*?)^```$/gms),
].map(([, code = ""]) => code.replaceAll('"debian:bookworm"', '"busybox"'));

let banger: Installation;
let project: string;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  project = join(banger.home, "project");
  await must([process.execPath, "scripts/package-sdk.ts"], { cwd: ROOT });
  const out = join(ROOT, "build/sdk");
  await must(["npm", "pack", "--silent", "--pack-destination", banger.home], { cwd: out });
  const packed = readdirSync(banger.home).find((name) => name.endsWith(".tgz")) ?? "none";
  await must(["mkdir", project]);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "type": "module" }');
  const flags = ["--silent", "--offline", "--no-audit", "--no-fund", "--cache", `${project}/npm`];
  await must(["npm", "install", ...flags, join(banger.home, packed)], { cwd: project });
});
afterAll(async () => {
  await banger[Symbol.asyncDispose]();
});

async function must(
  argv: string[],
  { cwd, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const child = Bun.spawn(argv, {
    cwd,
    env: { ...process.env, ...banger.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`${argv.join(" ")}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** An example of the README, as a program of the project. */
async function run(runtime: string, code: string, env?: Record<string, string>): Promise<string> {
  const file = join(project, "example.mjs");
  writeFileSync(file, code);
  return await must([runtime, file], { cwd: project, env });
}

test("has no dependencies, and only what it needs", () => {
  const installed = join(project, "node_modules/banger");
  expect(readdirSync(join(project, "node_modules")).filter((name) => name[0] !== ".")).toEqual([
    "banger",
  ]);
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  expect(manifest).not.toHaveProperty("dependencies");
  expect(readdirSync(installed).sort()).toEqual(
    "LICENSE README.md computesdk.js index.js llms.txt package.json skills types".split(" "),
  );
});

test("its types need nothing else, whichever way modules are resolved", async () => {
  const text = [
    'import { Banger, BangerError, Machine, type ExecResult } from "banger";',
    'import { banger } from "banger/computesdk";',
    'const sandbox = await banger({ image: "x" }).sandbox.create({ timeout: 1000 });',
    'const ran: string = (await sandbox.runCommand("true")).stdout;',
    'const vm: Machine = await Machine.create("x", { memory: "2G", net: "nat", timeout: "10m" });',
    'const result: ExecResult = await vm.exec(["make"], { onStdout: (b) => void b.length });',
    "const code: number = result.exitCode;",
    "// @ts-expect-error a size is no boolean",
    'await Machine.create("x", { memory: true });',
    "for await (const event of new Banger().events()) console.log(event.state, code, ran);",
    'if (new BangerError("timeout", "late").code === "timeout") await vm.remove();',
    "export {};",
  ];
  writeFileSync(join(project, "user.ts"), text.join("\n"));
  const flags = "--noEmit --strict --target es2022 --lib es2022,esnext.disposable,dom --types []";
  for (const [module, resolution] of [
    ["node16", "node16"],
    ["esnext", "bundler"],
  ] as const) {
    const ways = ["--module", module, "--moduleResolution", resolution];
    const words = flags.split(" ").filter((word) => word !== "--types" && word !== "[]");
    await must([TSC, ...words, "--types", "", ...ways, "user.ts"], { cwd: project });
  }
});

test("the README's examples run, under Node and under Bun", async () => {
  expect(examples).toHaveLength(7);
  const [first = "", remote = "", commands = "", files = "", ...rest] = examples;
  const [snapshots = "", volumes = "", errors = ""] = rest;
  expect(await run(process.execPath, first)).toMatch(/^0 \d+\.\d+/);
  expect(await run("node", commands)).toBe(
    "a\nb\n\n3 to stderr\n\nline by line\n{ exitCode: 0, signal: undefined }\n",
  );
  const filesOut = await run("node", files);
  expect(filesOut).toStartWith("hello\n\nhello.txt 6\nbegun\ndone\n{ code: 0 }\n");
  expect(filesOut).toMatch(/http:\/\/127\.0\.0\.1:\d+ is port 8080 of the machine\n$/);
  expect(await run("node", snapshots)).toMatch(/^kept\n \S+\nkept\n\nkept\n\n$/);
  expect(await run("node", volumes)).toMatch(/^sdk-cache \d+\n$/);
  expect(await run("node", errors)).toStartWith('not_found no such machine "no-such-machine"');
  expect(await run("node", remote)).toBe("");
  expect(await banger.ok("vm", "list", "-q")).toBe("");
});

test("reaches the daemon over TCP with a token", async () => {
  const serving = banger.spawn(["serve", "--listen", "127.0.0.1:0"]);
  try {
    const url = await firstUrl(serving.stdout);
    const token = (await banger.ok("token", "create", "sdk", "-q")).trim();
    const code = [
      'import { Machine } from "banger";',
      'const vm = await Machine.create("busybox", { name: "remote" });',
      'console.log((await vm.exec(["echo", "over TCP"])).stdout);',
      "await vm.remove();",
      'try { await Machine.get("remote"); } catch (error) { console.log(error.code); }',
    ].join("\n");
    const env = { BANGER_URL: url, BANGER_TOKEN: token };
    expect(await run("node", code, env)).toBe("over TCP\n\nnot_found\n");
    const wrong = run("node", code, { ...env, BANGER_TOKEN: "bgr_wrong" });
    await expect(wrong).rejects.toThrow("unauthorized");
  } finally {
    serving.kill("SIGINT");
    await serving.exited;
  }
});

test("ComputeSDK works on the package's own provider", async () => {
  // Modules are looked for beside the program.
  const clients = join(await npmClients(), "node_modules");
  symlinkSync(join(clients, "computesdk"), join(project, "node_modules/computesdk"));
  const program = readFileSync(join(ROOT, "test/support/e2b/computesdk-own.mjs"), "utf8");
  expect(await run("node", program)).toBe("done\n");
  expect(await banger.ok("vm", "list", "-q")).toBe("");
});

test("an MCP client on stdio does with a machine what an agent does", async () => {
  const server = [BUILT, "mcp", "--owner", "agent", "--ttl", "1h", "--profile", "full"];
  await using agent = await stdioClient(server, { env: banger.env, era: "2025" });
  const messages: string[] = [];
  const onprogress = ({ message = "" }) => void messages.push(message);
  const image = { image: "busybox", name: "agent-box", memory: "256M" };
  const machine = "agent-box";
  const made = await agent.call("create", image, { onprogress });
  expect(made).toMatchObject({ name: machine, state: "running", memory_mib: 256 });
  expect(messages.length).toBeGreaterThan(0);
  await agent.call("write", {
    machine,
    path: "/project/a/run.sh",
    content: "echo ran",
    mode: "755",
  });
  expect(await agent.call("exec", { machine, argv: ["sh", "/project/a/run.sh"] })).toMatchObject({
    exitCode: 0,
    stdout: "ran\n",
  });
  const piece = await agent.call("read", { machine, path: "/project/a/run.sh", length: 4 });
  expect(piece).toMatchObject({ content: "echo", nextOffset: 4, remaining_bytes: 4 });
  expect(await agent.call("read", { machine, path: "/project/a/run.sh", offset: 4 })).toMatchObject(
    {
      content: " ran",
      remaining_bytes: 0,
    },
  );
  expect(await agent.call("list", { machine, path: "/project/a" })).toMatchObject({
    entries: [{ name: "run.sh", kind: "file", size_bytes: 8 }],
  });
  expect(await agent.call("diff", { machine })).toMatchObject({
    changes: expect.arrayContaining([{ path: "/project/a/run.sh", change: "changed" }]),
  });
  const { contents } = await agent.client.readResource({
    uri: "banger://machines/agent-box/files/project/a/run.sh",
  });
  expect(contents).toMatchObject([{ text: "echo ran" }]);
  const missing = agent.call("read", { machine, path: "/project/none" });
  await expect(missing).rejects.toThrow(/^not_found: .*\nNext: Call `list`/);
  // What runs on its own is a session; it listens, and the port is found.
  const httpd = ["httpd", "-f", "-p", "8080", "-h", "/project"];
  await agent.call("session_start", { machine, session: "web", argv: httpd });
  await until(async () => {
    const { listening } = await agent.call("ports", { machine });
    return (listening as { port: number }[]).some(({ port }) => port === 8080);
  });
  // A copy goes its own way, and the difference is what it did.
  await agent.call("snapshot", { machine, action: "create", name: "agent-before" });
  await agent.call("fork", { machine, names: "agent-copy" });
  await agent.call("exec", {
    machine: "agent-copy",
    command: "cd /project; rm a/run.sh; echo b > b",
  });
  const against = { machine: "agent-copy", against: machine, path: "/project" };
  expect(await agent.call("diff", against)).toMatchObject({
    changes: [
      { path: "/project/a/run.sh", change: "removed" },
      { path: "/project/b", change: "created" },
    ],
  });
  await agent.call("exec", { machine, command: "rm -r /project" });
  await agent.call("snapshot", { machine, action: "restore", name: "agent-before" });
  const again = await agent.call("exec", { machine, argv: ["cat", "/project/a/run.sh"] });
  expect(again).toMatchObject({ stdout: "echo ran" });
  const all = await banger.json<Vm[]>("vm", "list");
  expect(all.map(({ name }) => name).sort()).toEqual(["agent-box", "agent-copy"]);
  for (const { labels, expiresAt } of all) {
    expect(labels).toMatchObject({ "banger.mcp": "agent" });
    expect(expiresAt).toBeTruthy();
  }
  const late = agent.call("exec", { machine, argv: ["sleep", "100"], timeout: "1s" });
  await expect(late).rejects.toThrow('"timedOut":true');
  await agent.call("snapshot_remove", { name: "agent-before" });
  for (const name of ["agent-box", "agent-copy"]) await agent.call("remove", { machine: name });
  expect(await agent.call("list")).toMatchObject({ machines: [], omitted: 0 });
});

test("over HTTP an MCP client has what its token permits, and a call that it leaves ends", async () => {
  const serving = banger.spawn(["serve", "--listen", "127.0.0.1:0"]);
  try {
    const url = `${await firstUrl(serving.stdout)}/mcp`;
    const tokenOf = async (scope: string) =>
      (await banger.ok("token", "create", `mcp-${scope}`, "--scope", scope, "-q")).trim();
    const token = await tokenOf("own");
    await using own = await httpClient(`${url}?ttl=1h`, { token, era: "2026" });
    await using full = await httpClient(url, { token: await tokenOf("full"), era: "2025" });
    await using read = await httpClient(url, { token: await tokenOf("read"), era: "2026" });
    await own.call("create", { image: "busybox", name: "of-token", memory: "256M" });
    await banger.ok("vm", "create", "--no-start", "busybox", "--name", "of-user");
    const machinesOf = async (client: typeof own) => {
      const { machines } = await client.call("list");
      return (machines as { name: string }[]).map(({ name }) => name).sort();
    };
    expect(await machinesOf(own)).toEqual(["of-token"]);
    expect(await machinesOf(full)).toEqual(["of-token", "of-user"]);
    expect(await machinesOf(read)).toEqual(["of-token", "of-user"]);
    await expect(own.call("remove", { machine: "of-user" })).rejects.toThrow("not_found");
    expect(await read.toolNames()).toEqual(["read", "list"]);
    const refused = read.call("exec", { machine: "of-token", argv: ["true"] });
    await expect(refused).rejects.toThrow("exec");
    const machine = "of-token";
    for (const client of [own, full]) {
      const abort = new AbortController();
      const onprogress = () => abort.abort();
      const argv = ["sh", "-c", "echo up; exec sleep 4321"];
      const work = client.call("exec", { machine, argv }, { signal: abort.signal, onprogress });
      await expect(work).rejects.toThrow();
      await until(async () => {
        const { stdout } = await own.call("exec", { machine, argv: ["ps"] });
        return !String(stdout).includes("sleep 4321");
      });
    }
    await own.call("remove", { machine });
    await full.call("remove", { machine: "of-user" });
    const stranger = await fetch(url, { method: "POST", body: "{}" });
    expect([stranger.status, stranger.headers.get("WWW-Authenticate")]).toEqual([
      401,
      'Bearer realm="banger"',
    ]);
  } finally {
    serving.kill("SIGINT");
    await serving.exited;
  }
});

async function firstUrl(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const bytes of stream) {
    text += new TextDecoder().decode(bytes);
    const url = /https?:\/\/[\w.:[\]]+/.exec(text)?.[0];
    if (url) return url;
  }
  throw new Error(`no address: ${text}`);
}
