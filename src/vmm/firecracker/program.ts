/** Finds the firecracker and jailer programs and their versions. */
import { closeSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { BangerError } from "#base/error.ts";
import { run, which } from "#base/run.ts";

const PROGRAM = "firecracker";
const JAILER = "jailer";
const VERSION_MIN = "1.7";
const PROBE_TIMEOUT_MS = 60_000;
/** Of an ELF file: enough for its header and the table that follows it. */
const HEADERS_BYTES = 4096;
const PROGRAM_HEADER_BYTES = 56;
/** The entry that names the dynamic linker. */
const PT_INTERP = 3;
export const STATIC_HINT =
  'Install the static binary from Firecracker\'s releases page, or set firecracker_jailer = "off" in the configuration';
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

/** Its version, found without waiting for other work; undefined where it is not installed, or does not tell. */
export function installedVersion(program: string = PROGRAM): string | undefined {
  const found = which(program);
  if (!found) return undefined;
  const { path, key } = keyOf(found);
  const known = probed.get(key);
  if (known) return known.version;
  try {
    const { stdout } = Bun.spawnSync([path, "--version"], { timeout: PROBE_TIMEOUT_MS });
    return versionIn(String(stdout));
  } catch {
    return undefined;
  }
}

/** Finds Firecracker and asks for its version, once for each file. `not_found` or `unsupported` with a hint. */
export async function findFirecracker(program: string = PROGRAM): Promise<Program> {
  const path = which(program);
  if (!path) {
    throw new BangerError("not_found", `Cannot start a machine: "${program}" is not installed`, {
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
 * is none. `unsupported` when it is of another version, since the two are one product, and when
 * `firecracker` is one that no jailer can run.
 */
export async function findJailer(
  firecracker: Program,
  program: string = JAILER,
): Promise<Program | undefined> {
  const path = jailerPath(firecracker.path, program);
  if (!path) return undefined;
  if (isDynamic(firecracker.path)) {
    throw new BangerError(
      "unsupported",
      `Cannot run Firecracker in its jailer: ${dynamicReason(firecracker.path)}`,
      { hint: STATIC_HINT },
    );
  }
  const found = await probe(path);
  if (found.version === firecracker.version) return found;
  throw new BangerError(
    "unsupported",
    `Cannot use "${path}": its version is ${found.version}, Firecracker's is ${firecracker.version}`,
    { hint: "Install both from the same release, or disable the jailer" },
  );
}

/** Why `program` cannot be run in the jailer that would be taken; undefined if it can, or if there is none. */
export function jailObstacle(program: string = PROGRAM, jailer?: string): string | undefined {
  const found = which(program);
  const path = found && realpathSync(found);
  return path && jailerPath(path, jailer) && isDynamic(path) ? dynamicReason(path) : undefined;
}

function jailerPath(firecracker: string, jailer: string = JAILER): string | undefined {
  return which(jailer) ?? which(join(dirname(firecracker), JAILER));
}

function dynamicReason(path: string): string {
  return `"${path}" is dynamically linked, the jailer needs a static binary`;
}

/** Whether an ELF file wants a dynamic linker, which would have to be in the jail as well. */
function isDynamic(path: string): boolean {
  const header = Buffer.alloc(HEADERS_BYTES);
  const fd = openSync(path, "r");
  try {
    readSync(fd, header, 0, header.length, 0);
  } finally {
    closeSync(fd);
  }
  if (header.toString("latin1", 0, 4) !== "\x7fELF") return false;
  const start = Number(header.readBigUInt64LE(32));
  const count = header.readUInt16LE(56);
  const offsets = Array.from({ length: count }, (_, index) => start + index * PROGRAM_HEADER_BYTES);
  return offsets.some((at) => at + 4 <= header.length && header.readUInt32LE(at) === PT_INTERP);
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
  const { path, key } = keyOf(found);
  const known = probed.get(key);
  if (known) return known;
  const { stdout, stderr } = await run([path, "--version"], { timeout_ms: PROBE_TIMEOUT_MS });
  const version = versionIn(stdout);
  if (!version) {
    const text = `Cannot use "${path}": cannot detect its version: ${stderr.trim().slice(0, 300)}`;
    throw new BangerError("unsupported", text, { hint: INSTALL_HINT });
  }
  const program = { path, version };
  probed.set(key, program);
  return program;
}

function keyOf(found: string): { path: string; key: string } {
  const path = realpathSync(found);
  const { mtimeMs, ino } = statSync(path);
  return { path, key: `${path} ${ino} ${mtimeMs}` };
}

function versionIn(text: string): string | undefined {
  return /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+)/m.exec(text)?.[1];
}
