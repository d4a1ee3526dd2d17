/** The firecracker and jailer programs on this computer: where they are and which version. */
import { realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { BangerError } from "#base/error.ts";
import { run, which } from "#base/run.ts";

const PROGRAM = "firecracker";
const JAILER = "jailer";
const VERSION_MIN = "1.7";
const PROBE_TIMEOUT_MS = 10_000;
export const INSTALL_HINT = `Install Firecracker ${VERSION_MIN} or newer from its releases page, or use --vmm qemu`;

export interface Program {
  /** Absolute, without symbolic links. */
  path: string;
  /** Such as "1.12.1". */
  version: string;
}

const probed = new Map<string, Program>();

export function isFirecrackerInstalled(program: string = PROGRAM): boolean {
  return which(program) !== undefined;
}

/** Finds Firecracker and asks for its version, once for each file. `not_found` or `unsupported` with a hint. */
export async function findFirecracker(program: string = PROGRAM): Promise<Program> {
  const path = which(program);
  if (!path) {
    throw new BangerError("not_found", `Cannot start a machine: no program "${program}"`, {
      hint: INSTALL_HINT,
    });
  }
  const found = await probe(path);
  if (isAtLeast(found.version, VERSION_MIN)) return found;
  const text = `Cannot use "${path}": version ${found.version} is older than ${VERSION_MIN}`;
  throw new BangerError("unsupported", text, { hint: INSTALL_HINT });
}

/**
 * The jailer that goes with `firecracker`: by its name on PATH, else beside it; undefined if there
 * is none. `unsupported` when it is of another version, since the two are one product.
 */
export async function findJailer(
  firecracker: Program,
  program: string = JAILER,
): Promise<Program | undefined> {
  const path = which(program) ?? which(join(dirname(firecracker.path), JAILER));
  if (!path) return undefined;
  const found = await probe(path);
  if (found.version === firecracker.version) return found;
  throw new BangerError(
    "unsupported",
    `Cannot use "${path}": it is version ${found.version}, and Firecracker is ${firecracker.version}`,
    { hint: "Install both from one release, or turn the jailer off" },
  );
}

/** Compares numbers, not texts: "1.14.0" is at least "1.7". */
export function isAtLeast(version: string, least: string): boolean {
  const have = version.split(".").map(Number);
  for (const [index, want] of least.split(".").map(Number).entries()) {
    const part = have[index] ?? 0;
    if (part !== want) return part > want;
  }
  return true;
}

async function probe(found: string): Promise<Program> {
  const path = realpathSync(found);
  const { mtimeMs, ino } = statSync(path);
  const key = `${path} ${ino} ${mtimeMs}`;
  const known = probed.get(key);
  if (known) return known;
  const { stdout, stderr } = await run([path, "--version"], { timeout_ms: PROBE_TIMEOUT_MS });
  const version = /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+)/m.exec(stdout)?.[1];
  if (!version) {
    const text = `Cannot use "${path}": it prints no version: ${stderr.trim().slice(0, 300)}`;
    throw new BangerError("unsupported", text, { hint: INSTALL_HINT });
  }
  const program = { path, version };
  probed.set(key, program);
  return program;
}
