/** Publishes ports of machines on the host: reconciles the open listeners with the wanted ones. */
import { KeyedQueue } from "#base/queue.ts";
import { checkPorts, hostEnd, isSamePort, type PortRequest, type PublishedPort } from "./spec.ts";
import { type Dial, type OpenPort, openTcpPort } from "./tcp.ts";
import { type OpenUdpFlow, openUdpPort } from "./udp.ts";

/** How the daemon reaches a machine. */
export interface PortTarget {
  connect: Dial;
  openFlow: OpenUdpFlow;
}

export class PortPublisher implements AsyncDisposable {
  readonly #open = new Map<string, OpenPort[]>();
  readonly #queue = new KeyedQueue();

  /** The ports of a machine that are open, with the numbers that they have. */
  list(machineId: string): PublishedPort[] {
    return (this.#open.get(machineId) ?? []).map(({ port }) => port);
  }

  /**
   * Opens what is wanted and is not open, and closes what is open and is not wanted; connections
   * through the others go on. When one cannot be opened nothing has changed. `conflict`: the
   * port is taken.
   */
  async publish(
    machineId: string,
    wanted: readonly PortRequest[],
    target: PortTarget,
  ): Promise<PublishedPort[]> {
    const ports = checkPorts(wanted);
    return await this.#queue.run(machineId, async () => {
      const open = this.#open.get(machineId) ?? [];
      const kept = open.filter((each) => ports.some((port) => isSamePort(port, each.port)));
      const missing = ports.filter((port) => !kept.some((each) => isSamePort(port, each.port)));
      // One that leads elsewhere from now on has to let go of its number first; it is taken again
      // by the same process, so there is nothing in the way but a number that is in use twice.
      const moved = open.filter(
        (each) =>
          !kept.includes(each) && missing.some((port) => hostEnd(port) === hostEnd(each.port)),
      );
      await Promise.all(moved.map((each) => each.close()));
      const made: OpenPort[] = [];
      try {
        for (const port of missing) made.push(await openPort(port, target));
      } catch (error) {
        await Promise.all(made.map((each) => each.close()));
        const reopened = await reopen(moved, target);
        this.#store(machineId, [...open.filter((each) => !moved.includes(each)), ...reopened]);
        throw error;
      }
      const unwanted = open.filter((each) => !kept.includes(each) && !moved.includes(each));
      await Promise.all(unwanted.map((each) => each.close()));
      this.#store(machineId, [...kept, ...made]);
      return this.list(machineId);
    });
  }

  /** Closes all ports of a machine. Safe to repeat. */
  async close(machineId: string): Promise<void> {
    await this.#queue.run(machineId, async () => {
      const open = this.#open.get(machineId) ?? [];
      this.#open.delete(machineId);
      await Promise.all(open.map((each) => each.close()));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.keys()].map((machineId) => this.close(machineId)));
  }

  #store(machineId: string, open: OpenPort[]): void {
    if (open.length > 0) this.#open.set(machineId, open);
    else this.#open.delete(machineId);
  }
}

async function openPort(port: PublishedPort, target: PortTarget): Promise<OpenPort> {
  if (port.protocol === "tcp") return await openTcpPort(port, target.connect);
  return await openUdpPort(port, target.openFlow);
}

/** Puts back what had to give way to something that then failed; what is gone meanwhile stays gone. */
async function reopen(ports: readonly OpenPort[], target: PortTarget): Promise<OpenPort[]> {
  const results = await Promise.allSettled(ports.map(({ port }) => openPort(port, target)));
  return results.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
}
