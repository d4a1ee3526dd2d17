/** The published package as its user has it: packed, installed into an empty project, under Node and under Bun. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";

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
    "LICENSE README.md index.js llms.txt package.json skills types".split(" "),
  );
});

test("its types need nothing else, whichever way modules are resolved", async () => {
  const text = [
    'import { Banger, BangerError, Machine, type ExecResult } from "banger";',
    'const vm: Machine = await Machine.create("x", { memory: "2G", net: "nat", timeout: "10m" });',
    'const result: ExecResult = await vm.exec(["make"], { onStdout: (b) => void b.length });',
    "const code: number = result.exitCode;",
    "// @ts-expect-error a size is no boolean",
    'await Machine.create("x", { memory: true });',
    "for await (const event of new Banger().events()) console.log(event.state, code);",
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
  expect(examples).toHaveLength(6);
  const [first = "", remote = "", commands = "", files = "", snapshots = "", errors = ""] =
    examples;
  expect(await run(process.execPath, first)).toMatch(/^0 \d+\.\d+/);
  expect(await run("node", commands)).toBe(
    "a\nb\n\n3 to stderr\n\nline by line\n{ exitCode: 0, signal: undefined }\n",
  );
  const filesOut = await run("node", files);
  expect(filesOut).toStartWith("hello\n\nhello.txt 6\nbegun\ndone\n{ code: 0 }\n");
  expect(filesOut).toMatch(/http:\/\/127\.0\.0\.1:\d+ is port 8080 of the machine\n$/);
  expect(await run("node", snapshots)).toMatch(/^kept\n \S+\nkept\n\nkept\n\n$/);
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

async function firstUrl(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const bytes of stream) {
    text += new TextDecoder().decode(bytes);
    const url = /https?:\/\/[\w.:[\]]+/.exec(text)?.[0];
    if (url) return url;
  }
  throw new Error(`no address: ${text}`);
}
