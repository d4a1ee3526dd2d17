/** Published ports of running machines; the records have which they are to be. */
import type { Database } from "bun:sqlite";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { getLogger } from "@logtape/logtape";
import { onAbort } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { Address } from "#net/address.ts";
import { PortPublisher, type PortTarget } from "#net/ports/publisher.ts";
import { checkPorts, hostEnd, type PortRequest, type PublishedPort } from "#net/ports/spec.ts";
import { type OpenUdpFlow, type UdpFlow, udpFlowOr } from "#net/ports/udp.ts";
import type { IdleTracker } from "#vm/life/idle.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import { getVm, listVms, machineAddress, reachableAddress, type VmRecord } from "#vm/records.ts";
import type { States } from "#vm/states.ts";

const log = getLogger(["banger", "vm"]);

/** Agents turn to ::1 by themselves for datagrams that are refused. */
const LOOPBACK = "127.0.0.1";
const LOOPBACK6 = "::1";

interface Reachable {
  readonly link: MachineLink;
  readonly idle: IdleTracker;
}

export class MachinePorts {
  readonly #db: Database;
  readonly #states: States;
  readonly #reach: (id: string, signal?: AbortSignal) => Promise<Reachable | undefined>;
  readonly #publisher = new PortPublisher();

  constructor(
    { db, states }: { db: Database; states: States },
    /** The machine if it runs, after it was woken where it was suspended. */
    reach: (id: string, signal?: AbortSignal) => Promise<Reachable | undefined>,
  ) {
    this.#db = db;
    this.#states = states;
    this.#reach = reach;
  }

  /** Those that the record wants. `conflict` for one that is taken; then none is open. */
  async open(id: string): Promise<void> {
    const vm = getVm(this.#db, id);
    if (vm.spec.ports) await this.set(vm, vm.spec.ports);
  }

  /** Of a machine that has gone on running without a daemon. What is taken by now is its warning. */
  async reopen(id: string): Promise<void> {
    try {
      await this.open(id);
    } catch (error) {
      const warning = messageOf(error);
      log.warn("{id}: {warning}", { id, warning });
      this.#states.set(id, { warning });
    }
  }

  /**
   * Opens these and no others, and records them with the numbers that they have: one that was to
   * be any free port stays the same from now on. On failure nothing has changed.
   */
  async set(vm: VmRecord, wanted: readonly PortRequest[]): Promise<void> {
    this.#assertNotTaken(vm, wanted);
    const ports = await this.#publisher.publish(vm.id, wanted, this.#target(vm.id));
    this.#record(vm.id, ports);
  }

  /** What shall be open when the machine runs; for one that does not. */
  record(vm: VmRecord, wanted: readonly PortRequest[]): void {
    this.#record(vm.id, checkPorts(wanted));
  }

  /** Safe to repeat. */
  async close(id: string): Promise<void> {
    await this.#publisher.close(id);
  }

  #record(id: string, ports: readonly PublishedPort[]): void {
    const vm = getVm(this.#db, id);
    this.#states.set(id, { spec: { ...vm.spec, ports } });
  }

  #target(id: string): PortTarget {
    return {
      connect: async (port, signal) => {
        const machine = await this.#reach(id, signal);
        const stream = await this.#connect(id, port, { machine, signal });
        const held = machine?.idle.hold();
        stream.once("close", () => held?.[Symbol.dispose]());
        return stream;
      },
      openFlow: async (port, onDatagram) => {
        const machine = await this.#reach(id);
        const flow = await this.#openFlow(id, port, { machine, onDatagram });
        const held = machine?.idle.hold();
        return {
          send: (data) => flow.send(data),
          close() {
            held?.[Symbol.dispose]();
            flow.close();
          },
        };
      },
    };
  }

  async #connect(
    id: string,
    port: number,
    { machine, signal }: { machine: Reachable | undefined; signal: AbortSignal },
  ): Promise<Duplex> {
    const vm = getVm(this.#db, id);
    const direct = reachableAddress(vm);
    const stream = direct && (await dial(direct, port, signal).catch(() => undefined));
    if (stream) return stream;
    // Over the agent a program is reached that listens on the machine's loopback only.
    const agent = await agentOf(machine, signal);
    // Not as a client of its own loopback, which some programs trust, unless that is where it listens.
    const own = vm.runtime?.isNamespaced ? machineAddress(vm) : undefined;
    const inside = own && agent.connect({ kind: "tcp", host: own, port }, { signal });
    const outward = await inside?.catch(() => undefined);
    if (outward) return outward;
    try {
      return await agent.connect({ kind: "tcp", host: LOOPBACK, port }, { signal });
    } catch (error) {
      const other = agent.connect({ kind: "tcp", host: LOOPBACK6, port }, { signal });
      // The first refusal tells more: most programs listen there.
      return await other.catch(() => Promise.reject(error));
    }
  }

  async #openFlow(
    id: string,
    port: number,
    {
      machine,
      onDatagram,
    }: { machine: Reachable | undefined; onDatagram: (data: Uint8Array) => void },
  ): Promise<UdpFlow> {
    const direct = reachableAddress(getVm(this.#db, id));
    const openInside: OpenUdpFlow = async (guestPort, onInside) => {
      const agent = await agentOf(machine);
      return await agent.datagrams({ host: LOOPBACK, port: guestPort }, { onDatagram: onInside });
    };
    const open = direct ? udpFlowOr(direct, openInside) : openInside;
    return await open(port, onDatagram);
  }

  /** Said with that machine's name, which the kernel does not know. */
  #assertNotTaken(vm: VmRecord, wanted: readonly PortRequest[]): void {
    const ends = new Set(checkPorts(wanted).map(hostEnd));
    for (const other of listVms(this.#db)) {
      if (other.id === vm.id) continue;
      const taken = this.#publisher.list(other.id).find((port) => ends.has(hostEnd(port)));
      if (!taken) continue;
      throw new BangerError(
        "conflict",
        `Cannot publish ${hostEnd(taken)} of machine "${vm.name}": already published by machine "${other.name}"`,
        { hint: "Use a different host port" },
      );
    }
  }
}

async function agentOf(machine: Reachable | undefined, signal?: AbortSignal): Promise<Agent> {
  if (machine) return await machine.link.agent(signal);
  throw new BangerError("unavailable", "Cannot reach the machine: it is still booting");
}

async function dial(host: Address, port: number, signal: AbortSignal): Promise<Duplex> {
  const socket = connect({ host, port, allowHalfOpen: true });
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  using _ = onAbort(signal, () => reject(new BangerError("cancelled", "client disconnected")));
  socket.once("connect", () => resolve(socket));
  socket.once("error", reject);
  try {
    return await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.removeListener("error", reject);
    socket.on("error", () => {});
  }
}
