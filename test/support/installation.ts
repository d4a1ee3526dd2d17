/**
 * An isolated installation of build/bin/banger for one test file, with a home directory of its own. Disposing of it
 * stops its machines and its daemon, and fails if anything is left. If this process is killed, a reaper cleans up.
 */
import { randomInt } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UNDECLARED } from "#daemon/log.ts";
import { LIMIT_MS } from "./limit.ts";
import { type FoundProcess, processesOf } from "./processes.ts";
import { startReaper } from "./reaper.ts";

export const BUILT = join(import.meta.dir, "../../build/bin/banger");
const OUTPUT_MAX_BYTES = 16 * 1024 * 1024;

export interface Result {
  /** Exit status, 128 + N after signal N. */
  status: number;
  stdout: string;
  stderr: string;
}

export interface CallOptions {
  stdin?: string;
  timeout_ms?: number;
  /** Sends SIGINT, as ^C does. */
  interrupt?: AbortSignal;
  env?: Record<string, string>;
}

export interface Installation extends AsyncDisposable {
  readonly home: string;
  readonly env: Record<string, string>;
  /** Runs `banger ARGS` and gives what it did, whatever its exit status. */
  call(args: string[], options?: CallOptions): Promise<Result>;
  /** Runs `banger ARGS`, which must succeed, and gives its stdout. */
  ok(...args: string[]): Promise<string>;
  /** As `ok`, with --json, and parsed. */
  json<T>(...args: string[]): Promise<T>;
  /** Starts `banger ARGS` with pipes, for tests that send signals or read along. */
  spawn(args: string[]): Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** Processes of this installation: its daemon, VMMs and helpers, without the caller's own. */
  processes(): FoundProcess[];
}

export interface InstallOptions {
  /** Of a home below the temporary one, such as one with blanks. */
  name?: string;
  /** Words before each command line, such as those that make it another user's. */
  before?: readonly string[];
}

export function install({ name = "", before = [] }: InstallOptions = {}): Installation {
  if (!existsSync(BUILT)) throw new Error("build/bin/banger does not exist: run make build");
  // Short, since the path of a unix socket below it has at most 107 bytes.
  const folder = mkdtempSync("/tmp/bgr-");
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  const program = ownProgram(home);
  const env = environment(home);
  const bridge = folder.slice("/tmp/".length);
  mkdirSync(join(home, "run"), { mode: 0o700 });
  mkdirSync(join(home, "config/banger"), { recursive: true });
  writeFileSync(join(home, "config/banger/config.toml"), networkConfig(bridge));

  const spawn = (args: string[], extra: Record<string, string> = {}) =>
    Bun.spawn([...before, program, ...args], {
      cwd: home,
      env: { ...env, ...extra },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });

  const call = async (args: string[], options: CallOptions = {}): Promise<Result> => {
    const child = spawn(args, options.env);
    const timeout_ms = options.timeout_ms ?? LIMIT_MS;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeout_ms);
    options.interrupt?.addEventListener("abort", () => child.kill("SIGINT"), { once: true });
    child.stdin.write(options.stdin ?? "");
    await Promise.resolve(child.stdin.end()).catch(() => {});
    const [stdout, stderr, status] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      child.exited,
    ]);
    clearTimeout(timer);
    if (!late) return { status, stdout, stderr };
    const output = `${stdout.slice(-2000)}${stderr.slice(-2000)}`;
    throw new Error(`banger ${args.join(" ")} did not end in ${timeout_ms} ms: ${output}`);
  };

  const ok = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await call(args, { timeout_ms: LIMIT_MS });
    if (status === 0) return stdout;
    throw new Error(`banger ${args.join(" ")}: status ${status}\n${stdout}${stderr}`);
  };

  const reaper = startReaper(folder, bridge);
  const processes = () => processesOf(home).filter(({ pid }) => pid !== reaper.pid);
  const dispose = async () => {
    const failure = await endEverything(call).catch((error: unknown) => String(error));
    const undeclared = undeclaredErrors(home);
    const left = [...(failure ? [failure] : []), ...leftovers(home, { bridge, processes })];
    for (const { pid } of processes()) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
    reaper[Symbol.dispose]();
    if (left.length > 0) throw new Error(`left behind:\n  ${left.join("\n  ")}`);
    if (undeclared.length > 0) throw new Error(`not in src/api:\n  ${undeclared.join("\n  ")}`);
  };
  return {
    home,
    env,
    call,
    ok,
    json: async <T>(...args: string[]) => JSON.parse(await ok(...args, "--json")) as T,
    spawn: (args) => spawn(args),
    processes,
    [Symbol.asyncDispose]: dispose,
  };
}

/** The program by another name, which stays what it is when somebody builds meanwhile. */
function ownProgram(home: string): string {
  const program = join(home, "bin/banger");
  mkdirSync(dirname(program));
  try {
    linkSync(BUILT, program);
  } catch {
    copyFileSync(BUILT, program);
  }
  return program;
}

/** Nothing of the caller's own banger, ssh or registry settings gets through. */
function environment(home: string): Record<string, string> {
  return {
    PATH: `${home}/bin:${process.env["PATH"] ?? ""}`,
    LANG: "C.UTF-8",
    TERM: "dumb",
    HOME: home,
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_STATE_HOME: join(home, "state"),
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_RUNTIME_DIR: join(home, "run"),
  };
}

/** A bridge and a subnet of its own, so that tests and the user's machines do not meet. */
function networkConfig(bridge: string): string {
  const subnet = `10.${randomInt(100, 200)}.${randomInt(0, 256)}.0/24`;
  return `[network]\nbridge = "${bridge}"\nsubnet = "${subnet}"\n`;
}

type Call = (args: string[], options?: CallOptions) => Promise<Result>;

async function endEverything(call: Call): Promise<undefined> {
  const { status, stdout } = await call(["vm", "list", "--json"]);
  const machines = status === 0 ? (JSON.parse(stdout) as { name: string }[]) : [];
  for (const { name } of machines) await call(["vm", "rm", "--force", name]);
  await call(["daemon", "stop"]);
}

/** Errors that the daemon gave although the contract does not declare them for their procedure. */
function undeclaredErrors(home: string): string[] {
  const logs = ["daemon.log.1", "daemon.log"].map((name) => join(home, "state/banger", name));
  return logs
    .filter((path) => existsSync(path))
    .flatMap((path) => readFileSync(path, "utf8").split("\n"))
    .filter((line) => line.includes(`"${UNDECLARED}`));
}

/** What must not be there any more, in words. */
function leftovers(
  home: string,
  { bridge, processes: find }: { bridge: string; processes: () => FoundProcess[] },
): string[] {
  const processes = find().map(({ pid, command }) => `process ${pid}: ${command}`);
  const links = readdirSync("/sys/class/net").includes(bridge) ? [`bridge ${bridge}`] : [];
  const tables = process.getuid?.() === 0 ? Bun.spawnSync(["nft", "list", "tables"]).stdout : "";
  const table = `banger_${bridge}`;
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(`${home}/`));
  const vms = join(home, "state/banger/vms");
  const folders = existsSync(vms) ? readdirSync(vms) : [];
  return [
    ...processes,
    ...links,
    ...(tables.toString().includes(table) ? [`nftables table ${table}`] : []),
    ...mounts.map((line) => `mount ${line}`),
    ...folders.map((name) => `folder ${join(vms, name)}`),
  ];
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    if (text.length < OUTPUT_MAX_BYTES) text += decoder.decode(chunk, { stream: true });
  }
  return text;
}
