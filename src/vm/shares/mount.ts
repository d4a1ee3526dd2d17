/**
 * Shared directories of a machine without 9P: banger-share in the machine passes the requests of its kernel to a socket,
 * and this connects that with the process that serves them. Both outlive the daemon, which connects them again.
 */
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import { readShareBinary } from "#guest/embedded.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import { keepOpen } from "#vm/network/keep-open.ts";
import { joinPath } from "#vm/network/socket-relay.ts";
import { findVm, type VmRecord } from "#vm/records.ts";
import { ensureServer, failureOf, keptShares, socketOf, untilServed } from "./server.ts";

const log = getLogger(["banger", "vm"]);

/** In the agent's directory, which is root's alone and in memory. */
const PROGRAM = "/run/banger/banger-share";
const OPEN_MAX_MS = 60_000;

type Deps = Pick<VmDeps, "db" | "config" | "owner">;
type Machine = Pick<VmRecord, "id" | "name" | "state">;

/** The share is over: the machine has to be started again to get it back. */
class ShareFailure extends BangerError {
  constructor(why: string) {
    super("guest", why);
  }
}

/** Mounts one of them; resolves when it is there. `guest`, with the reason. */
export async function mountShare(
  deps: Deps,
  vm: Machine,
  options: { index: number; agent: Agent; link: MachineLink; signal?: AbortSignal | undefined },
): Promise<void> {
  const { index, agent, link, signal } = options;
  const share = keptShares(deps.config.paths.vm(vm.id).runtime)[index];
  if (!share) throw new BangerError("internal", `no shared directory ${index}`);
  const { directory, path, isReadOnly } = share;
  try {
    await agent.files.writeFile(PROGRAM, readShareBinary(), { mode: 0o755, signal });
    const argv = [PROGRAM, guestSocket(index), path, isReadOnly ? "ro" : "rw"];
    const { status, stderr } = await agent.run(argv, { signal });
    if (!("code" in status && status.code === 0)) {
      throw new BangerError("guest", new TextDecoder().decode(stderr).trim() || "no reason given");
    }
    keep(deps, vm, { index, link, first: await open(deps, vm, { index, link }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw new BangerError(
      "guest",
      `Cannot share "${directory}" with "${vm.name}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The same for a machine that an earlier daemon has started: they are mounted, and wait for this one. */
export function resumeShares(deps: Deps, vm: Machine, link: MachineLink): void {
  if (vm.state === "starting") return;
  const count = keptShares(deps.config.paths.vm(vm.id).runtime).length;
  for (let index = 0; index < count; index++) keep(deps, vm, { index, link, first: undefined });
}

interface Joined {
  ended: Promise<void>;
}

function keep(
  deps: Deps,
  vm: Machine,
  { index, link, first }: { index: number; link: MachineLink; first: Joined | undefined },
): void {
  const onError = (error: unknown) => {
    const isOver = error instanceof ShareFailure;
    const level = isOver ? "warn" : "debug";
    log[level]("{name}: shared directory {index}: {message}", {
      ...{ name: vm.name, index, message: messageOf(error) },
    });
    return isOver ? "give up" : "retry";
  };
  const isRunning = () => findVm(deps.db, vm.id)?.state === "running";
  const reopen = () => open(deps, vm, { index, link });
  void keepOpen(first, { link, isRunning, reopen, onError, streams: 1 });
}

async function open(
  { config, owner }: Deps,
  { id }: Machine,
  { index, link }: { index: number; link: MachineLink },
): Promise<Joined> {
  const { runtime, vmmLog } = config.paths.vm(id);
  const { handle } = link.machine;
  const assertWhole = (): void => {
    const why = failureOf(runtime, index);
    if (why !== undefined) throw new ShareFailure(why);
  };
  assertWhole();
  await ensureServer(runtime, {
    machine: handle,
    logPath: vmmLog,
    endsWithUs: owner !== undefined,
  });
  await untilServed(runtime, index);
  assertWhole();
  const signal = AbortSignal.timeout(OPEN_MAX_MS);
  const agent = await link.agent(signal);
  const inside = await agent.connect({ kind: "unix", path: guestSocket(index) }, { signal });
  const ended = new Promise<void>((resolve) => inside.once("close", resolve));
  joinPath(inside, socketOf(runtime, index));
  return { ended };
}

function guestSocket(index: number): string {
  return `/run/banger/share-${index}.sock`;
}
