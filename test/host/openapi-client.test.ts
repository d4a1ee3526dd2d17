/** A client that openapi-typescript generates from the document: it compiles, and calls the API over TCP. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { CACHE, madeOnce } from "#test/made-once.ts";
import { startServedApi } from "#test/served-api.ts";

setDefaultTimeout(LIMIT_MS);

const ROOT = join(import.meta.dir, "../..");
const BUN = join(ROOT, "build/toolchain/bun");
const PACKAGES = { "openapi-typescript": "7.13.0", "openapi-fetch": "0.17.0", typescript: "5.9.3" };

const PROGRAM = `
import createClient from "openapi-fetch";
import type { paths } from "./api.d.ts";

declare const Bun: { argv: string[] };
const [url, token] = Bun.argv.slice(2);
const client = createClient<paths>({
  baseUrl: url + "/v1",
  headers: { Authorization: "Bearer " + token },
});
const { data, error } = await client.GET("/vms");
if (error) throw error;
const names: string[] = data.map(({ name }) => name);
const path = { name: "nope" };
const missing = await client.POST("/vms/{name}/stop", { params: { path }, body: { grace_ms: 1 } });
console.log(JSON.stringify({ names, status: missing.response.status, code: missing.error?.code }));
// @ts-expect-error: a number
await client.PATCH("/vms/{name}", { params: { path }, body: { cpus: "two" } });
`;
const OPTIONS =
  "--noEmit --strict --module nodenext --target es2023 --lib es2023,dom --allowImportingTsExtensions --skipLibCheck";

async function run(argv: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(argv, { cwd, stdout: "pipe", stderr: "pipe" });
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`${argv.join(" ")}: status ${status}\n${out}${err}`);
  return out;
}

async function packages(): Promise<string> {
  const path = join(CACHE, "openapi-client", Bun.hash(JSON.stringify(PACKAGES)).toString(36));
  return await madeOnce(path, async (staging) => {
    mkdirSync(staging, { recursive: true });
    const manifest = JSON.stringify({ private: true, dependencies: PACKAGES });
    writeFileSync(join(staging, "package.json"), manifest);
    await run([BUN, "install", "--no-progress", "--ignore-scripts"], staging);
    rmSync(join(staging, "bun.lock"), { force: true });
  });
}

test("a generated client compiles, calls the API, and has its types", async () => {
  const installed = await packages();
  const folder = mkdtempSync(join(tmpdir(), "banger-openapi-"));
  try {
    await using api = await startServedApi();
    const { secret, token } = api.tokens.create({});
    api.vms.set("box", { ...makeVm("box"), token: token.id });
    api.vms.set("other", makeVm("other"));
    symlinkSync(join(installed, "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "program.ts"), PROGRAM);
    const document = await (await fetch(`${api.url}/openapi.json`)).text();
    writeFileSync(join(folder, "openapi.json"), document);
    const bin = join(installed, "node_modules");
    const generator = join(bin, "openapi-typescript/bin/cli.js");
    await run([BUN, generator, "openapi.json", "-o", "api.d.ts"], folder);
    const compiler = join(bin, "typescript/bin/tsc");
    await run([BUN, compiler, ...OPTIONS.split(" "), "program.ts"], folder);
    const out = await run([BUN, "program.ts", api.url, secret], folder);
    expect(JSON.parse(out)).toEqual({ names: ["box"], status: 404, code: "not_found" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
