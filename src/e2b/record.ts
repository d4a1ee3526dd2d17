/** E2B's attributes of a sandbox that a machine does not have, stored in labels of the machine. */
import { z } from "zod";
import type { Vm } from "#api/vm.ts";
import { badRequest, E2bError } from "./errors.ts";

/** Text in pieces: a label holds 1024 characters, and a machine 64 labels. */
const RECORD = "e2b/record";
const PIECE_LENGTH = 1000;
const PIECES_MAX = 48;
/** When the sandbox ends or pauses, and the timeout that it was given in seconds. */
const END = "e2b/end";
const TIMEOUT = "e2b/timeout";
/** Of banger itself: with it, ports of the machine need no token. */
const PUBLIC_PORTS: Labels = { "banger.ports": "public" };

export const networkConfig = z.object({
  allowOut: z.array(z.string()).optional(),
  denyOut: z.array(z.string()).optional(),
});
export type NetworkConfig = z.infer<typeof networkConfig>;

const record = z.object({
  template: z.string(),
  metadata: z.record(z.string(), z.string()).optional(),
  onTimeout: z.enum(["kill", "pause"]),
  /** Whether a pause at the timeout keeps the memory. */
  keepMemory: z.boolean(),
  autoResume: z.boolean(),
  internet: z.boolean().optional(),
  network: networkConfig.optional(),
  /** Whether its ports need no token. */
  isPublic: z.boolean().optional(),
});
export type SandboxRecord = z.infer<typeof record>;

export interface Sandbox {
  vm: Vm;
  record: SandboxRecord;
  /** Unix time. */
  end_ms: number;
  timeout_s: number;
}

export type Labels = Record<string, string>;

export function recordLabels(value: SandboxRecord): Labels {
  const text = JSON.stringify(value);
  const count = Math.ceil(text.length / PIECE_LENGTH);
  if (count > PIECES_MAX) {
    throw badRequest(
      `metadata too long: more than ${PIECES_MAX * PIECE_LENGTH} characters in total`,
    );
  }
  const pieces = Array.from({ length: count }, (_, index) => [
    pieceName(index),
    text.slice(index * PIECE_LENGTH, (index + 1) * PIECE_LENGTH),
  ]);
  return { ...Object.fromEntries(pieces), ...(value.isPublic ? PUBLIC_PORTS : {}) };
}

export function endLabels(end_ms: number, timeout_s: number): Labels {
  return { [END]: new Date(end_ms).toISOString(), [TIMEOUT]: String(timeout_s) };
}

/** Undefined for a machine that was not made through this API, or is going away. */
export function sandboxOf(vm: Vm): Sandbox | undefined {
  const { labels = {}, state } = vm;
  if (labels[RECORD] === undefined || state === "removing") return undefined;
  const pieces: string[] = [];
  for (let index = 0; ; index++) {
    const piece = labels[pieceName(index)];
    if (piece === undefined) break;
    pieces.push(piece);
  }
  const parsed = record.safeParse(parseJson(pieces.join("")));
  if (!parsed.success) return undefined;
  const end_ms = Date.parse(labels[END] ?? "");
  return {
    vm,
    record: parsed.data,
    end_ms: Number.isFinite(end_ms) ? end_ms : Date.parse(vm.createdAt),
    timeout_s: Number(labels[TIMEOUT]) || 0,
  };
}

export function requireSandbox(vm: Vm, id: string): Sandbox {
  const sandbox = sandboxOf(vm);
  // A name would do for banger, but sandboxes are known by ids alone.
  if (!sandbox || vm.id !== id) throw new E2bError(404, `sandbox "${id}" not found`);
  return sandbox;
}

export function isPaused({ vm }: Sandbox): boolean {
  return /^(suspended|suspending|stopped|stopping|paused)$/.test(vm.state);
}

function pieceName(index: number): string {
  return index === 0 ? RECORD : `${RECORD}.${index}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
