/** QEMU's microvm machine, with KVM where it is usable and emulated where not. */
import { existsSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import { argumentsOf, identify, isRunning } from "#base/process-identity.ts";
import { checkDescription, checkFiles } from "#vmm/boot-checks.ts";
import { readTail } from "#vmm/console.ts";
import type {
  Accelerator,
  BootSpec,
  Driver,
  Machine,
  MachineHandle,
  Snapshot,
} from "#vmm/driver.ts";
import { hostProcessor, kvmState } from "#vmm/host.ts";
import { scratchOf } from "#vmm/jail/scratch.ts";
import type { LogNotes } from "#vmm/logs.ts";
import { type Child, hasEnded, killProcesses } from "#vmm/process.ts";
import { openSocket } from "#vmm/socket.ts";
import { DRIVES_MAX, grownDrives, socketPaths } from "./command.ts";
import { hasLimits, limitDrives } from "./drives.ts";
import { restoreFailure, startFailure } from "./failure.ts";
import { chooseJail, type Launched, type LaunchOptions, launch } from "./launch.ts";
import { type Events, QemuMachine } from "./machine.ts";
import { clearRuntime, readNotes } from "./notes.ts";
import { findPasst } from "./passt.ts";
import { makeNice, makeNiceLater } from "./priority.ts";
import { belongsTo } from "./process.ts";
import { findQemu, isQemuInstalled, qemuChecks } from "./program.ts";
import { openQmp, type Qmp } from "./qmp.ts";
import { loadState } from "./snapshot.ts";

/** A hung one is ended after this. Inside another machine, or on a host under load, it needs half a minute. */
const START_TIMEOUT_MS = 180_000;
/** How long an adopted QEMU may take to greet. */
const ADOPT_TIMEOUT_MS = 20_000;
const RETRY_MS = 2;

export interface QemuOptions {
  /** Name or path of the program; default "qemu-system-x86_64". */
  program?: string;
  /** Default: KVM when it is usable. */
  accelerator?: Accelerator;
  /** False: QEMU sees the host as its user does. */
  jail?: boolean;
}

export function createQemuDriver(options: QemuOptions = {}): Driver {
  return {
    name: "qemu",
    title: "QEMU",
    features: {
      userNetwork: true,
      emulation: true,
      vsock: false,
      pause: true,
      snapshot: true,
      growsDrives: true,
    },
    isInstalled: () => isQemuInstalled(options.program),
    checks: () => qemuChecks(options),
    boot: (spec, signal) => start(spec, options, { signal }),
    restore: (spec, snapshot, signal) => start(spec, options, { snapshot, signal }),
    snapshotKey: () => snapshotKey(options),
    adopt,
    killOrphan,
  };
}

/** Another of these would not take the state, or would take it for something else. */
async function snapshotKey(options: QemuOptions): Promise<string> {
  const qemu = await findQemu(options.program);
  const { path, version } = qemu;
  const { size, mtimeMs } = statSync(path);
  // QEMU's own network has a state of its own.
  const isCabled = (await findPasst(qemu)) !== undefined;
  const accelerator = acceleratorOf(options);
  const processor = accelerator === "kvm" ? hostProcessor() : undefined;
  return JSON.stringify(["qemu", version, size, mtimeMs, accelerator, processor, isCabled]);
}

function acceleratorOf(options: QemuOptions): Accelerator {
  return options.accelerator ?? (kvmState().usable ? "kvm" : "tcg");
}

/** From a snapshot if there is one, else from its kernel. */
async function start(
  spec: BootSpec,
  options: QemuOptions,
  { snapshot, signal }: { snapshot?: Snapshot; signal?: AbortSignal | undefined },
): Promise<Machine> {
  throwIfAborted(signal);
  checkSpec(spec);
  const qemu = await findQemu(options.program);
  throwIfAborted(signal);
  const accelerator = acceleratorOf(options);
  const passt = spec.network?.kind === "user" ? await findPasst(qemu) : undefined;
  const jail = await chooseJail(options);
  throwIfAborted(signal);
  clearRuntime(spec.runtimeDir);
  const { child, notes } = tryLaunch(spec, { qemu, accelerator, passt, snapshot, jail });
  const identity = identify(child.pid);
  if (accelerator === "tcg" && !snapshot) makeNice(child.pid);
  if (accelerator === "tcg" && snapshot && identity) makeNiceLater(identity);
  const events: Events = {};
  try {
    const qmp = await greetedBy(child, spec, { events, notes, signal });
    assert(identity, "a QEMU that answers has an identity");
    const { runtimeDir } = spec;
    const sockets = socketPaths(runtimeDir);
    const scratch = scratchOf({ pid: child.pid, runtimeDir }, notes.hasOwnRoot);
    const load = async ({ statePath }: Snapshot) => {
      const grown = grownDrives(spec);
      await loadState(qmp, { scratch, statePath, grown, signal }).catch((cause) => {
        throwIfAborted(signal);
        // It ends itself where it does not understand the state.
        throw restoreFailure(readTail(spec.logPath, notes.logStart_bytes), cause);
      });
    };
    const [goodbye] = await Promise.all([
      openSocket(sockets.goodbye, signal),
      snapshot && load(snapshot),
    ]);
    if (hasLimits(spec.diskLimits)) await limitDrives(qmp, spec.diskLimits);
    const handle: MachineHandle = { driver: "qemu", accelerator, ...identity, runtimeDir };
    return new QemuMachine({ handle, qmp, events, notes, child, goodbye });
  } catch (error) {
    child.kill("SIGKILL");
    await child.exited;
    clearRuntime(spec.runtimeDir);
    throw error;
  }
}

function tryLaunch(spec: BootSpec, options: LaunchOptions): Launched {
  try {
    return launch(spec, options);
  } catch (error) {
    clearRuntime(spec.runtimeDir);
    throw error;
  }
}

async function adopt(handle: MachineHandle): Promise<Machine | undefined> {
  if (handle.driver !== "qemu" || !isRunning(handle)) return undefined;
  if (!belongsTo(argumentsOf(handle.pid), handle.runtimeDir)) return undefined;
  const events: Events = {};
  const signal = AbortSignal.timeout(ADOPT_TIMEOUT_MS);
  const qmp = await openQmp(socketPaths(handle.runtimeDir).qmp, {
    onEvent: recorder(events),
    signal,
  }).catch(() => undefined);
  const { goodbye: path } = socketPaths(handle.runtimeDir);
  const goodbye = await openSocket(path, signal).catch(() => undefined);
  if (!isRunning(handle)) {
    qmp?.close();
    goodbye?.destroy();
    clearRuntime(handle.runtimeDir);
    return undefined;
  }
  const notes = readNotes(handle.runtimeDir);
  if (handle.accelerator === "tcg") makeNiceLater(handle);
  return new QemuMachine({ handle, qmp, events, notes, child: undefined, goodbye });
}

async function killOrphan(runtimeDir: string): Promise<boolean> {
  const isKilled = await killProcesses((argv) => belongsTo(argv, runtimeDir));
  clearRuntime(runtimeDir);
  return isKilled;
}

/** The control connection, once QEMU is up. Fails when it ends before, takes too long, or on abort. */
async function greetedBy(
  child: Child,
  spec: BootSpec,
  context: { events: Events; notes: LogNotes; signal: AbortSignal | undefined },
): Promise<Qmp> {
  const limit = AbortSignal.timeout(START_TIMEOUT_MS);
  const signal = context.signal ? AbortSignal.any([limit, context.signal]) : limit;
  const path = socketPaths(spec.runtimeDir).qmp;
  const exited = child.exited.then(() => undefined);
  while (true) {
    throwIfAborted(context.signal);
    if (hasEnded(child)) {
      const stderr = readTail(spec.logPath, context.notes.logStart_bytes);
      throw startFailure(stderr, String(child.signalCode ?? `status ${child.exitCode}`));
    }
    if (limit.aborted) {
      const text = `Cannot start the machine: timed out waiting for QEMU after ${START_TIMEOUT_MS} ms`;
      throw new BangerError("timeout", text);
    }
    try {
      return await openQmp(path, { onEvent: recorder(context.events), signal });
    } catch {
      await Promise.race([exited, sleep(RETRY_MS)]);
    }
  }
}

function recorder(events: Events): (event: string, data: Record<string, unknown>) => void {
  return (event, data) => {
    if (event === "SHUTDOWN" && typeof data["reason"] === "string") {
      events.shutdown = data["reason"];
    }
  };
}

function checkSpec(spec: BootSpec): void {
  checkDescription(spec, { drivesMax: DRIVES_MAX });
  if (spec.network?.kind === "tap") requireTap(spec.network);
  checkFiles(spec);
}

/** QEMU would make a tap that is not there, one that leads nowhere. In another namespace it may not. */
function requireTap({
  tap,
  namespacePid,
}: {
  tap: string;
  namespacePid?: number | undefined;
}): void {
  const isThere = namespacePid !== undefined || existsSync(`/sys/class/net/${tap}`);
  if (/^[\w.-]{1,15}$/.test(tap) && isThere) return;
  throw new BangerError("unavailable", `Cannot start the machine: no such interface "${tap}"`, {
    hint: "Restart the machine",
  });
}
