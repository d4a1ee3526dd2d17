/** The daemon itself. */
import { z } from "zod";
import { vmExit, vmState } from "./vm.ts";

export const version = z.object({
  version: z.string(),
  commit: z.string(),
  builtAt: z.string(),
});
export type Version = z.infer<typeof version>;

export const daemonStatus = z.object({
  ...version.shape,
  pid: z.int(),
  startedAt: z.iso.datetime(),
  stateDir: z.string(),
  machinesRunning: z.int(),
  rss_bytes: z.int(),
  /** Addresses that the API is served at, on TCP. */
  serving: z.array(z.string()).optional(),
});
export type DaemonStatus = z.infer<typeof daemonStatus>;

export const repairStep = z.object({
  /** Absent for what belongs to no machine. */
  machine: z.string().optional(),
  /**
   * `adopt`: take over its process; `end`: end it; `stop`: note that it is gone, and give back
   * what it held; `remove`: the machine with its disk; `start`: boot it; `clean`: remove a file
   * or folder that belongs to nothing.
   */
  action: z.enum(["adopt", "end", "stop", "remove", "start", "clean"]),
  detail: z.string(),
  /** Why it could not be done. */
  failure: z.string().optional(),
});
export type RepairStep = z.infer<typeof repairStep>;

/** A tar archive of logs, records and checks; no key and no environment is in it. */
export const debugBundle = z.object({ tar: z.base64(), files: z.array(z.string()) });
export type DebugBundle = z.infer<typeof debugBundle>;

/** One thing that happened to a machine: its new state, the last of which is `removed`. */
export const machineEvent = z.object({
  at: z.iso.datetime(),
  id: z.string(),
  name: z.string(),
  state: z.enum([...vmState.options, "removed"]),
  /** With `stopped` after a run. */
  exit: vmExit.optional(),
});
export type MachineEvent = z.infer<typeof machineEvent>;
