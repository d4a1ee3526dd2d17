/** The socket in a machine that leads to the user's ssh agent, for as long as the machine runs. */
import { setTimeout as sleep } from "node:timers/promises";
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import { type Relay, relaySocket } from "#vm/network/socket-relay.ts";
import { findVm, type VmRecord } from "#vm/records.ts";
import { GUEST_SOCKET, knownName, type SshAgents } from "./agents.ts";

const log = getLogger(["banger", "vm"]);

/** For every user of the machine: it is one party. */
const SOCKET_MODE = 0o666;
/** The relay, and the connection that it keeps waiting. */
const STREAMS = 2;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 60_000;
const OPEN_MAX_MS = 60_000;

type Machine = Pick<VmRecord, "id" | "name" | "state" | "spec">;

/** Resolves when the socket is there. It is made again whenever the agent's connection was lost. */
export async function forwardSshAgent(
  { db, sshAgents }: Pick<VmDeps, "db" | "sshAgents">,
  vm: Machine,
  link: MachineLink,
): Promise<void> {
  if (!sshAgents || !vm.spec.sshAgent) return;
  try {
    const relay = await open(sshAgents, vm, link);
    const isRunning = () => findVm(db, vm.id)?.state === "running";
    void keepOpen(relay, { link, isRunning, reopen: () => open(sshAgents, vm, link) });
  } catch (error) {
    throw new BangerError(
      "guest",
      `Cannot forward the ssh agent to "${vm.name}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The same for a machine that an earlier daemon has started. One that is on its way up gets it when it is ready. */
export function resumeSshAgent(
  { db, sshAgents }: Pick<VmDeps, "db" | "sshAgents">,
  vm: Machine,
  link: MachineLink,
): void {
  if (!sshAgents || !vm.spec.sshAgent || isComing(vm)) return;
  const isRunning = () => findVm(db, vm.id)?.state === "running";
  void keepOpen(undefined, { link, isRunning, reopen: () => open(sshAgents, vm, link) });
}

function isComing({ state }: Machine): boolean {
  return state === "starting" || state === "waking";
}

/** One that is being suspended, or is paused, is left alone until it runs. */
async function keepOpen(
  first: Relay | undefined,
  {
    link,
    isRunning,
    reopen,
  }: { link: MachineLink; isRunning: () => boolean; reopen: () => Promise<Relay> },
): Promise<void> {
  let isOver = false;
  const over = link.exited.then(() => {
    isOver = true;
  });
  let relay = first;
  let wait_ms = RETRY_MIN_MS;
  while (!isOver) {
    if (relay) {
      await Promise.race([relay.ended, over]);
      link.ownStreams = 0;
      relay = undefined;
    } else if (isRunning()) {
      relay = await reopen().catch((error) => {
        log.debug("ssh agent: {message}", { message: messageOf(error) });
        return undefined;
      });
      wait_ms = relay ? RETRY_MIN_MS : Math.min(2 * wait_ms, RETRY_MAX_MS);
      if (relay) continue;
    }
    await Promise.race([sleep(wait_ms, undefined, { ref: false }), over]);
  }
}

async function open(sshAgents: SshAgents, vm: Machine, link: MachineLink): Promise<Relay> {
  const { hosts = [], socket = "" } = vm.spec.sshAgent ?? {};
  const machine = { machineId: vm.id, hosts: hosts.map(knownName), socket };
  const signal = AbortSignal.timeout(OPEN_MAX_MS);
  const agent = await link.agent(signal);
  // Of a relay that has ended.
  for (const path of [GUEST_SOCKET, `${GUEST_SOCKET}.host`]) {
    await agent.files.remove(path, { signal }).catch(() => {});
  }
  const relay = await relaySocket(agent, {
    ...{ path: GUEST_SOCKET, mode: SOCKET_MODE, uid: 0, gid: 0 },
    take: (inside) => sshAgents.serve(inside, machine),
  });
  link.ownStreams = STREAMS;
  return relay;
}
