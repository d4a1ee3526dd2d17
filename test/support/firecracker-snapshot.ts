/**
 * Snapshots of the API peer: files of the right size and place, from which another peer goes on as the first
 * was. In a jail it has nothing but its own folder, so it imports no more than that.
 */
import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { cannotOpen } from "./firecracker-description.ts";

type Body = Record<string, unknown>;

/** What a peer goes on from. */
export interface PeerMachine {
  /** Requests by which it was configured. */
  bodies: Map<string, Body>;
  /** What the guest keeps in the first page of its memory. */
  kept: string;
  /** The memory that it was restored from, which stays open. */
  memoryFd?: number;
}

/** A page that the guest has touched at its boot, and never again. */
const EARLY = { at: 8192, text: "early" };

interface State {
  version: string;
  bodies: [string, Body][];
}

const MiB = 1 << 20;
/** What may be configured before a snapshot is loaded. */
const NEUTRAL = ["GET /", "PUT /logger", "PUT /serial"];
/** From here on a Diff needs no dirty tracking. */
const DIFF_SINCE_MINOR = 13;

interface SaveContext extends PeerMachine {
  version: string;
  paused: boolean;
}

/** The fault_message where it cannot be saved. */
export function saveSnapshot(fields: Body, context: SaveContext): string | undefined {
  const { bodies, kept, version, paused, memoryFd } = context;
  if (!paused)
    return "Create snapshot error: Cannot save the microVM state: unavailable while running";
  const machine = bodies.get("PUT /machine-config");
  const isDiff = fields["snapshot_type"] === "Diff";
  if (isDiff && minorOf(version) < DIFF_SINCE_MINOR && machine?.["track_dirty_pages"] !== true) {
    return "Diff snapshots are not allowed on uVMs with dirty page tracking disabled.";
  }
  const state: State = { version, bodies: [...bodies].filter(([name]) => name.startsWith("PUT ")) };
  writeFileSync(String(fields["snapshot_path"]), JSON.stringify(state));
  // An existing file is kept where it has the size already: a Diff goes into the snapshot before it.
  const fd = openSync(String(fields["mem_file_path"]), constants.O_WRONLY | constants.O_CREAT);
  ftruncateSync(fd, Number(machine?.["mem_size_mib"]) * MiB);
  // Full writes pages of zeros as well.
  if (!isDiff) writeSync(fd, Buffer.alloc(MiB), 0, MiB, 0);
  if (!isDiff || memoryFd === undefined) writeSync(fd, EARLY.text, EARLY.at);
  writeSync(fd, `${kept}\0`, 0);
  closeSync(fd);
  return undefined;
}

/** The machine of a snapshot, or the fault_message. Whatever else is configured is an error that ends nothing. */
export function loadSnapshot(
  fields: Body,
  { version, bodies }: { version: string; bodies: ReadonlyMap<string, Body> },
): PeerMachine | { fault: string; isFatal: boolean } {
  if ([...bodies.keys()].some((name) => !NEUTRAL.includes(name))) {
    const fault =
      "Loading a microVM snapshot not allowed after configuring boot-specific resources.";
    return { fault: `Load snapshot error: ${fault}`, isFatal: false };
  }
  try {
    return { ...read(fields, version) };
  } catch (error) {
    return { fault: `Load snapshot error: Failed to restore: ${error}`, isFatal: true };
  }
}

function read(fields: Body, version: string): PeerMachine {
  const state: State = JSON.parse(readFileSync(String(fields["snapshot_path"]), "utf8"));
  if (state.version !== version) throw new Error(`Invalid format version: ${state.version}`);
  const bodies = new Map(state.bodies);
  const backend = fields["mem_backend"] as Body;
  const fd = openSync(String(backend["backend_path"]), "r");
  const page = Buffer.alloc(4096);
  readSync(fd, page, 0, page.length, 0);
  const { size } = statSync(String(backend["backend_path"]));
  const wanted = Number(bodies.get("PUT /machine-config")?.["mem_size_mib"]) * MiB;
  if (size !== wanted) throw new Error(`The memory file has ${size} bytes instead of ${wanted}`);
  for (const [name, drive] of bodies) {
    if (!name.startsWith("PUT /drives/")) continue;
    const mode = drive["is_read_only"] ? constants.O_RDONLY : constants.O_RDWR;
    const complaint = cannotOpen(drive["path_on_host"], mode);
    if (complaint) throw new Error(complaint);
  }
  for (const { iface_id, host_dev_name } of (fields["network_overrides"] ?? []) as Body[]) {
    const name = `PUT /network-interfaces/${iface_id}`;
    const network = bodies.get(name);
    if (!network) throw new Error("Unknown Network Device");
    bodies.set(name, { ...network, host_dev_name });
  }
  return { bodies, memoryFd: fd, kept: page.toString("utf8", 0, page.indexOf(0)) };
}

function minorOf(version: string): number {
  return Number(version.split(".")[1]);
}
