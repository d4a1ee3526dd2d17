/**
 * The network namespace of an ordinary user's machines. One idle process holds it open, and pasta connects it to the
 * host's network. Both outlive the daemon; a record on disk has their pids for the next one.
 */
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { throwIfAborted } from "#base/abort.ts";
import { type BangerError, errnoOf, messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { identify, isRunning, type ProcessIdentity } from "#base/process-identity.ts";
import { which } from "#base/run.ts";
import { defaultRoutes } from "#net/devices.ts";
import { readNamespaceHost, refusal } from "./obstacle.ts";
import { READY, reconnectCommand, startCommand } from "./uplink.ts";

const START_TIMEOUT_MS = 60_000;
const SECOND_FAMILY_TIMEOUT_MS = 2_000;
const RETRY_MS = 5;
const END_TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 4096;

const processIdentity = z.object({ pid: z.int(), startTime_ticks: z.int() });
const stored = z.object({ holder: processIdentity, uplink: processIdentity });

export interface Namespace {
  /** The idle process that holds the namespaces open. */
  holder: ProcessIdentity;
  /** pasta. */
  uplink: ProcessIdentity;
}

/** The namespace of the record at `path`, if it still exists. */
export function findNamespace(path: string): Namespace | undefined {
  let namespace: Namespace;
  try {
    namespace = stored.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
  return isRunning(namespace.holder) ? namespace : undefined;
}

/** Reuses the existing namespace, restarting a dead pasta, or creates one. The caller holds the lock. */
export async function ensureNamespace(path: string, signal?: AbortSignal): Promise<Namespace> {
  const found = findNamespace(path);
  if (!found) return await createNamespace(path, signal);
  if (isRunning(found.uplink)) return found;
  const uplink = spawnPasta(reconnectCommand(found.holder.pid), path);
  const namespace = { holder: found.holder, uplink: identified(uplink, path) };
  await untilConnected(namespace, uplink, { path, signal });
  record(path, namespace);
  uplink.unref();
  return namespace;
}

/** Ends its two processes. Other processes keep the namespaces alive. Idempotent. */
export async function endNamespace(path: string): Promise<void> {
  const namespace = findNamespace(path);
  // pasta exits with its namespace.
  if (namespace) {
    for (const each of [namespace.holder, namespace.uplink]) await end(each);
  }
  rmSync(path, { force: true });
  rmSync(logOf(path), { force: true });
}

async function createNamespace(path: string, signal: AbortSignal | undefined): Promise<Namespace> {
  throwIfAborted(signal);
  const child = spawnPasta(startCommand(), path);
  try {
    await readReady(child, path);
    const namespace = { holder: holderOf(child.pid), uplink: identified(child, path) };
    await untilConnected(namespace, child, { path, signal });
    record(path, namespace);
    // It exits with this process until told to stay, so that none is left without a record.
    child.stdin.write("stay\n");
    await child.stdin.end();
    child.unref();
    return namespace;
  } catch (error) {
    child.kill("SIGKILL");
    await child.exited;
    throw error;
  }
}

type Pasta = Bun.Subprocess<"pipe", "pipe", number>;

function spawnPasta([name = "", ...args]: readonly string[], path: string): Pasta {
  const program = which(name);
  if (!program) throw failed(`not installed: ${name}`);
  const log = openSync(logOf(path), "w", 0o600);
  try {
    return Bun.spawn([program, ...args], {
      stdio: ["pipe", "pipe", log],
      // Its own process group: signals to the daemon's must not reach it.
      detached: true,
      cwd: "/",
      env: { LC_ALL: "C", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
  } finally {
    closeSync(log);
  }
}

async function readReady(child: Pasta, path: string): Promise<void> {
  const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (!text.includes(READY) && text.length < MAX_OUTPUT_BYTES) {
      const { value, done } = await reader.read();
      if (done) throw failed(reasonOf(path));
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    clearTimeout(timer);
    void reader.cancel().catch(() => {});
  }
}

/** The first process in the namespaces, by its pid on the host. */
function holderOf(pasta: number): ProcessIdentity {
  const children = readFileSync(`/proc/${pasta}/task/${pasta}/children`, "utf8");
  const holder = identify(Number(children.trim().split(" ")[0]));
  if (!holder) throw failed("its first process has ended");
  return holder;
}

function identified(child: Pasta, path: string): ProcessIdentity {
  const identity = identify(child.pid);
  if (!identity) throw failed(reasonOf(path));
  return identity;
}

/** pasta configures the network while the first process already runs. */
async function untilConnected(
  { holder, uplink }: Namespace,
  child: Pasta,
  { path, signal }: { path: string; signal: AbortSignal | undefined },
): Promise<void> {
  const start_ms = performance.now();
  const wanted = defaultRoutes();
  for (;;) {
    const routes = defaultRoutes(holder.pid);
    const waited_ms = performance.now() - start_ms;
    if (wanted.every((family) => routes.includes(family)) && routes.length > 0) return;
    // pasta cannot use every route of the host.
    if (routes.length > 0 && waited_ms > SECOND_FAMILY_TIMEOUT_MS) return;
    throwIfAborted(signal);
    if (!isRunning(uplink) || !isRunning(holder)) throw failed(reasonOf(path));
    if (waited_ms > START_TIMEOUT_MS) {
      child.kill("SIGKILL");
      throw failed("timed out waiting for pasta");
    }
    await Bun.sleep(RETRY_MS);
  }
}

async function end(target: ProcessIdentity): Promise<void> {
  const deadline_ms = performance.now() + END_TIMEOUT_MS;
  while (isRunning(target) && performance.now() < deadline_ms) {
    try {
      process.kill(target.pid, "SIGKILL");
    } catch (error) {
      if (errnoOf(error) !== "ESRCH") throw failed(messageOf(error));
    }
    await Bun.sleep(RETRY_MS);
  }
}

function record(path: string, namespace: Namespace): void {
  writeFileAtomic(path, `${JSON.stringify(namespace)}\n`);
}

function logOf(path: string): string {
  return `${path}.log`;
}

function reasonOf(path: string): string {
  try {
    const lines = readFileSync(logOf(path), "utf8").slice(0, MAX_OUTPUT_BYTES).split("\n");
    const own = lines.filter((line) => !/^\s*$|to syslog/.test(line));
    return own.at(-1)?.trim() || "pasta has ended";
  } catch {
    return "pasta has ended";
  }
}

function failed(reason: string): BangerError {
  return refusal(readNamespaceHost(), reason);
}
