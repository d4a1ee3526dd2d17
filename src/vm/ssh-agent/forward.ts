/** The socket in a machine that leads to the user's ssh agent, for as long as the machine runs. */
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import { keepOpen } from "#vm/network/keep-open.ts";
import { type Relay, relaySocket } from "#vm/network/socket-relay.ts";
import { findVm, type VmRecord } from "#vm/records.ts";
import { GUEST_SOCKET, knownName, type SshAgents } from "./agents.ts";

const log = getLogger(["banger", "vm"]);

/** For every user of the machine: it is one party. */
const SOCKET_MODE = 0o666;
/** The relay, and the connection that it keeps waiting. */
const STREAMS = 2;
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
    keep({ db, sshAgents }, vm, { link, first: relay });
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
  keep({ db, sshAgents }, vm, { link, first: undefined });
}

function isComing({ state }: Machine): boolean {
  return state === "starting" || state === "waking";
}

function keep(
  { db, sshAgents }: { db: VmDeps["db"]; sshAgents: SshAgents },
  vm: Machine,
  { link, first }: { link: MachineLink; first: Relay | undefined },
): void {
  const onError = (error: unknown) => {
    log.debug("ssh agent: {message}", { message: messageOf(error) });
    return "retry" as const;
  };
  const isRunning = () => findVm(db, vm.id)?.state === "running";
  const reopen = () => open(sshAgents, vm, link);
  void keepOpen(first, { link, isRunning, reopen, onError, streams: STREAMS });
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
  return relay;
}
