/** The Firecracker driver: starts it, configures it through its API, and finds it again. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import { argumentsOf, identify, isRunning } from "#base/process-identity.ts";
import type { BootSpec, Driver, MachineHandle, Snapshot } from "#vmm/driver.ts";
import { hostProcessor } from "#vmm/host.ts";
import {
  type Child,
  hasEnded,
  killProcesses,
  killWithDescendants,
  startDetached,
} from "#vmm/process.ts";
import { type ApiRequest, callApi } from "./api.ts";
import { firecrackerChecks } from "./checks.ts";
import {
  type ConfigurationContext,
  configuration,
  type MachineOptions,
  restoration,
} from "./configuration.ts";
import { startFailure } from "./exit.ts";
import { type Launch, prepareLaunch } from "./launch.ts";
import { belongsTo, type Sockets, socketsOf } from "./layout.ts";
import { FirecrackerMachine, type GoodbyeListener, listenForGoodbye, logOf } from "./machine.ts";
import { clearRuntime, readNotes } from "./notes.ts";
import {
  findFirecracker,
  installedVersion,
  isFirecrackerInstalled,
  jailObstacle,
  type Program,
  STATIC_HINT,
} from "./program.ts";
import { snapshotType } from "./snapshot.ts";
import { CPUS_MAX, checkSpec } from "./spec.ts";

/** A jailed one copies its program first, and a host may be slow; one that has ended is seen at once. */
const UP_TIMEOUT_MS = 180_000;
/** InstanceStart loads kernel and initrd, which takes long where the disk is slow. */
const START_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 60_000;
const RETRY_MS = 5;
/** How long a process whose API broke off may take to be gone. */
const LAST_BREATH_MS = 1000;

const DESCRIBE: ApiRequest = { method: "GET", path: "/" };
const START: ApiRequest = {
  method: "PUT",
  path: "/actions",
  body: { action_type: "InstanceStart" },
};

export interface FirecrackerOptions extends MachineOptions {
  /** Name or path of the program; default "firecracker". */
  program?: string;
  /** Name or path of the jailer, which is used when this process is root; false: never. Default "jailer". */
  jailer?: string | false;
  /** For each request; default 60,000. */
  requestTimeout_ms?: number;
}

/** As every driver, and its machines do what only Firecracker does. */
export interface FirecrackerDriver extends Driver {
  boot(spec: BootSpec, signal?: AbortSignal): Promise<FirecrackerMachine>;
  restore(spec: BootSpec, snapshot: Snapshot, signal?: AbortSignal): Promise<FirecrackerMachine>;
  adopt(handle: MachineHandle): Promise<FirecrackerMachine | undefined>;
}

export function createFirecrackerDriver(options: FirecrackerOptions = {}): FirecrackerDriver {
  return {
    name: "firecracker",
    title: "Firecracker",
    features: {
      ...{ userNetwork: false, emulation: false, vsock: true, pause: true, growsDrives: false },
      cpusMax: CPUS_MAX,
      get snapshot() {
        const version = installedVersion(options.program);
        return version !== undefined && snapshotType(version) !== undefined;
      },
    },
    isInstalled: () => isFirecrackerInstalled(options.program),
    obstacle: () => obstacle(options),
    checks: () => firecrackerChecks(options),
    boot: (spec, signal) => start(spec, options, { signal }),
    restore: (spec, snapshot, signal) => start(spec, options, { snapshot, signal }),
    snapshotKey: () => snapshotKey(options),
    adopt: (handle) => adopt(handle, options),
    killOrphan,
  };
}

/** As far as it is known without starting a program. */
function obstacle({ program, jailer }: FirecrackerOptions) {
  if (jailer === false || process.getuid?.() !== 0) return undefined;
  const why = jailObstacle(program, jailer);
  return why === undefined ? undefined : { why, hint: STATIC_HINT };
}

/** Another of these would not take the state, or would take it for something else. */
async function snapshotKey(options: FirecrackerOptions): Promise<string> {
  const { path, version } = await findFirecracker(options.program);
  const { size, mtimeMs } = statSync(path);
  const { serial = true } = options;
  return JSON.stringify(["firecracker", version, size, mtimeMs, hostProcessor(), serial]);
}

/** From a snapshot if there is one, else from its kernel. */
async function start(
  spec: BootSpec,
  options: FirecrackerOptions,
  { snapshot, signal }: { snapshot?: Snapshot; signal?: AbortSignal | undefined },
): Promise<FirecrackerMachine> {
  throwIfAborted(signal);
  checkSpec(spec);
  const firecracker = await findFirecracker(options.program);
  throwIfAborted(signal);
  clearRuntime(spec.runtimeDir);
  let child: Child | undefined;
  let goodbye: GoodbyeListener | undefined;
  try {
    const { serial = true, jailer, requestTimeout_ms } = options;
    const launch = await prepareLaunch(spec, firecracker, { serial, jailer, snapshot });
    child = startDetached(launch.argv, launch.outputs, { ...spec, cwd: launch.cwd });
    const sockets = socketsOf(spec.runtimeDir, launch.notes.jail ? child.pid : undefined);
    const identity = identify(child.pid);
    const context = { spec, options, firecracker, launch, child, sockets, signal };
    await untilUp(context);
    goodbye = await listenForGoodbye(sockets);
    const limit_ms = Math.max(START_TIMEOUT_MS, requestTimeout_ms ?? 0);
    const saved = launch.paths.snapshot;
    await (saved ? restore(context, saved, limit_ms) : configure(context, limit_ms));
    assert(identity, "a process that answers has an identity");
    const { runtimeDir } = spec;
    const handle: MachineHandle = {
      driver: "firecracker",
      accelerator: "kvm",
      ...identity,
      runtimeDir,
    };
    const { notes } = launch;
    return new FirecrackerMachine({ handle, sockets, notes, child, goodbye, requestTimeout_ms });
  } catch (error) {
    // While the jail is being made, there are programs beside it that name its directory.
    if (child) await killWithDescendants(child);
    await goodbye?.listener.close();
    clearRuntime(spec.runtimeDir);
    throw error;
  }
}

interface Configuring {
  spec: BootSpec;
  options: FirecrackerOptions;
  firecracker: Program;
  launch: Launch;
  child: Child;
  sockets: Sockets;
  signal: AbortSignal | undefined;
}

/** From a fresh process to a machine that runs. */
async function configure(context: Configuring, limit_ms: number): Promise<void> {
  const requests = configuration(context.spec, settingsOf(context));
  for (const request of requests) await step(context, request);
  await step(context, START, limit_ms);
}

/** The same from a snapshot. Whatever fails, the process is of no more use. */
async function restore(context: Configuring, snapshot: Snapshot, limit_ms: number): Promise<void> {
  try {
    for (const request of restoration(context.spec, snapshot, settingsOf(context))) {
      await step(context, request, limit_ms);
    }
  } catch (cause) {
    throwIfAborted(context.signal);
    const why = messageOf(cause).replace(/^Cannot [^:]+: /, "");
    const { code, hint } = toBangerError(cause);
    // Firecracker says no more of a state that it refuses.
    const isRefused = code === "internal" || code === "invalid_argument";
    throw new BangerError(isRefused ? "integrity" : code, `Cannot restore the machine: ${why}`, {
      hint,
      cause,
    });
  }
}

function settingsOf({ firecracker, launch, options }: Configuring): ConfigurationContext {
  return { version: firecracker.version, paths: launch.paths, options };
}

async function step(context: Configuring, request: ApiRequest, timeout_ms?: number): Promise<void> {
  const { sockets, signal, options } = context;
  throwIfAborted(signal);
  const limit_ms = timeout_ms ?? options.requestTimeout_ms ?? REQUEST_TIMEOUT_MS;
  try {
    await callApi(sockets.api, request, { timeout_ms: limit_ms, signal });
  } catch (error) {
    await throwIfEnded(context, request, error);
    throw error;
  }
}

/** Waits until the API answers. Fails when the process ends before, takes too long, or on abort. */
async function untilUp(context: Configuring): Promise<void> {
  const { child, sockets, signal, options } = context;
  const limit = AbortSignal.timeout(options.requestTimeout_ms ?? UP_TIMEOUT_MS);
  const either = signal ? AbortSignal.any([limit, signal]) : limit;
  while (true) {
    throwIfAborted(signal);
    if (hasEnded(child)) throw failureOf(context, "its start");
    if (limit.aborted) {
      throw new BangerError(
        "timeout",
        "Cannot start the machine: timed out waiting for Firecracker's API",
      );
    }
    try {
      await callApi(sockets.api, DESCRIBE, { signal: either });
      return;
    } catch (error) {
      const isEarly = error instanceof BangerError && error.code === "unavailable";
      if (!isEarly && !either.aborted) throw error;
      await Promise.race([child.exited, sleep(RETRY_MS)]);
    }
  }
}

/** A connection that broke says less than the end of the process that it went to. */
async function throwIfEnded(
  context: Configuring,
  { method, path }: ApiRequest,
  error: unknown,
): Promise<void> {
  if (!(error instanceof BangerError) || error.code !== "unavailable") return;
  await Promise.race([context.child.exited, sleep(LAST_BREATH_MS, undefined, { ref: false })]);
  if (hasEnded(context.child)) throw failureOf(context, `${method} ${path}`);
}

function failureOf({ child, spec, launch }: Configuring, at: string): BangerError {
  const status = { code: child.exitCode, signal: child.signalCode };
  return startFailure(status, logOf(spec.runtimeDir, launch.notes), at);
}

async function adopt(
  handle: MachineHandle,
  { requestTimeout_ms }: FirecrackerOptions,
): Promise<FirecrackerMachine | undefined> {
  if (handle.driver !== "firecracker") return undefined;
  const { pid, runtimeDir } = handle;
  if (!isRunning(handle)) return undefined;
  if (!belongsTo(argumentsOf(pid), runtimeDir)) return undefined;
  const notes = readNotes(runtimeDir);
  const sockets = socketsOf(runtimeDir, notes?.jail ? pid : undefined);
  const goodbye = await listenForGoodbye(sockets).catch(() => undefined);
  const child = undefined;
  return new FirecrackerMachine({ handle, sockets, notes, child, goodbye, requestTimeout_ms });
}

async function killOrphan(runtimeDir: string): Promise<boolean> {
  const isKilled = await killProcesses((argv) => belongsTo(argv, runtimeDir));
  clearRuntime(runtimeDir);
  return isKilled;
}
