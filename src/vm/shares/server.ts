/** The process of a machine that serves its shared directories by FUSE; src/share is what it does. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { identify, isRunning, type ProcessIdentity } from "#base/process-identity.ts";
import { which } from "#base/run.ts";
import { selfCommand } from "#base/self-command.ts";
import type { ShareConfig } from "#share/config.ts";
import { killProcess, startDetached } from "#vmm/process.ts";

/** On a host that is not overloaded it takes a tenth of a second. */
const START_MAX_MS = 60_000;
const LOOK_MS = 20;

const fuseShare = z.object({ directory: z.string(), path: z.string(), isReadOnly: z.boolean() });
/** A directory of the host, and where the machine has it. */
export type FuseShare = z.infer<typeof fuseShare>;
const identity = z.object({ pid: z.int(), startTime_ticks: z.int() });

/** For whoever mounts them, which may be another daemon. */
export function keepShares(runtimeDir: string, shares: readonly FuseShare[]): void {
  if (shares.length === 0) return;
  mkdirSync(folderOf(runtimeDir), { recursive: true, mode: 0o700 });
  writeFileAtomic(join(folderOf(runtimeDir), "list"), JSON.stringify(shares), {
    isTransient: true,
  });
}

export function keptShares(runtimeDir: string): FuseShare[] {
  const path = join(folderOf(runtimeDir), "list");
  return existsSync(path) ? z.array(fuseShare).parse(JSON.parse(readFileSync(path, "utf8"))) : [];
}

export function socketOf(runtimeDir: string, index: number): string {
  return join(folderOf(runtimeDir), `${index}.sock`);
}

/** Why a share is over, although its machine runs; undefined if it is not. */
export function failureOf(runtimeDir: string, index: number): string | undefined {
  const path = failurePath(runtimeDir, index);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

export interface ServerOptions {
  /** Of the VMM: it ends with it. */
  machine: ProcessIdentity;
  /** Where it says what went wrong. */
  logPath: string;
  endsWithUs: boolean;
}

/** Starts it unless it runs. */
export async function ensureServer(runtimeDir: string, options: ServerOptions): Promise<void> {
  const found = readIdentity(runtimeDir);
  if (found && isRunning(found)) return;
  const { pid, startTime_ticks } = options.machine;
  const shares = keptShares(runtimeDir).map(({ directory, isReadOnly }, index) => ({
    ...{ directory, isReadOnly, socket: socketOf(runtimeDir, index) },
    failure: failurePath(runtimeDir, index),
  }));
  const config: ShareConfig = { shares, machine: { pid, startTime_ticks } };
  const configPath = join(folderOf(runtimeDir), "config");
  writeFileAtomic(configPath, JSON.stringify(config), { isTransient: true });
  const outputs = { stdout: options.logPath, stderr: options.logPath };
  const child = startDetached(serverCommand(configPath), outputs, {
    endsWithUs: options.endsWithUs,
  });
  child.unref();
  const own = identify(child.pid);
  if (own) writeFileAtomic(identityPath(runtimeDir), JSON.stringify(own), { isTransient: true });
}

/** Of root's rights it has those over files of other users, as the directory may have these. */
export function serverCommand(configPath: string): string[] {
  const isRoot = process.geteuid?.() === 0;
  const kept = isRoot ? ",+chown,+dac_override,+fowner,+fsetid" : "";
  const rights = ["--no-new-privs", "--inh-caps=-all", `--bounding-set=-all${kept}`];
  // Whoever has no rights at all may not even give them up.
  const before = which("setpriv")
    ? ["setpriv", ...(isRoot ? rights : rights.slice(0, 1)), "--"]
    : [];
  return [...before, ...selfCommand(), "share-server", configPath];
}

/** Until a share can be connected to, or has failed. */
export async function untilServed(runtimeDir: string, index: number): Promise<void> {
  const deadline = Date.now() + START_MAX_MS;
  while (!existsSync(socketOf(runtimeDir, index)) && !failureOf(runtimeDir, index)) {
    const found = readIdentity(runtimeDir);
    if (Date.now() > deadline || (found && !isRunning(found))) {
      throw new BangerError("unavailable", "the process that serves it does not start");
    }
    await sleep(LOOK_MS);
  }
}

/** Of a machine that is gone. */
export async function endServer(runtimeDir: string): Promise<void> {
  const found = readIdentity(runtimeDir);
  if (found) await killProcess(found);
}

function readIdentity(runtimeDir: string): ProcessIdentity | undefined {
  const path = identityPath(runtimeDir);
  return existsSync(path) ? identity.parse(JSON.parse(readFileSync(path, "utf8"))) : undefined;
}

function identityPath(runtimeDir: string): string {
  return join(folderOf(runtimeDir), "server");
}

function failurePath(runtimeDir: string, index: number): string {
  return join(folderOf(runtimeDir), `${index}.failure`);
}

function folderOf(runtimeDir: string): string {
  return join(runtimeDir, "shares");
}
