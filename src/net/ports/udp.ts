/** Forwards UDP datagrams between a host port and a machine, with a socket per client. */
import type { Address } from "#net/address.ts";
import { sendDatagram } from "#net/datagram.ts";
import { listenError } from "./failure.ts";
import type { PublishedPort } from "./spec.ts";
import type { OpenPort } from "./tcp.ts";

/** Clients beyond this take the place of the one that has been silent for longest. */
const MAX_FLOWS = 256;
const IDLE_MS = 60_000;

/** The machine's end of what one client says. */
export interface UdpFlow {
  /** Never fails: what cannot be sent is lost. */
  send(data: Uint8Array): void;
  close(): void;
}

/** Opens a UDP port inside the machine; `onDatagram` gets what comes from there. */
export type OpenUdpFlow = (
  guestPort: number,
  onDatagram: (data: Uint8Array) => void,
) => Promise<UdpFlow>;

interface Flow {
  guest: Promise<UdpFlow | undefined>;
  /** `performance.now()` of the last datagram, either way. */
  used_ms: number;
}

/** To a machine that has an address of its own. `onRefused`: the port is closed. */
export function udpFlowTo(hostname: Address, onRefused?: () => void): OpenUdpFlow {
  return async (port, onDatagram) => {
    const socket = await Bun.udpSocket({
      connect: { hostname, port },
      socket: {
        data: (_socket, data) => onDatagram(data),
        // The machine refuses the port: to the client that is silence, as from a closed port.
        error: () => onRefused?.(),
      },
    });
    return { send: (data) => sendDatagram(() => socket.send(data)), close: () => socket.close() };
  };
}

/** The same, and by another way from when the port is refused there; the datagram that was refused goes that way too. */
export function udpFlowOr(hostname: Address, openOther: OpenUdpFlow): OpenUdpFlow {
  return async (port, onDatagram) => {
    let last: Uint8Array | undefined;
    let other: Promise<UdpFlow | undefined> | undefined;
    const onRefused = (): void => {
      if (other !== undefined) return;
      other = openOther(port, onDatagram).catch(() => undefined);
      if (last) sendOther(last);
    };
    const sendOther = (data: Uint8Array): void => void other?.then((flow) => flow?.send(data));
    const first = await udpFlowTo(hostname, onRefused)(port, onDatagram);
    return {
      send(data) {
        last = data;
        if (other !== undefined) sendOther(data);
        else first.send(data);
      },
      close() {
        first.close();
        void other?.then((flow) => flow?.close());
      },
    };
  };
}

/** `hostPort` of the result is the one that was taken. Errors as in `listenError`. */
export async function openUdpPort(port: PublishedPort, open: OpenUdpFlow): Promise<OpenPort> {
  const flows = new Map<string, Flow>();
  let host: Bun.udp.Socket<"buffer">;
  try {
    host = await Bun.udpSocket({
      hostname: port.hostAddress,
      port: port.hostPort,
      socket: {
        data: (_socket, data, clientPort, clientAddress) => {
          const client = { address: clientAddress, port: clientPort };
          void forward(Buffer.from(data), flowOf(client));
        },
        error() {},
      },
    });
  } catch (error) {
    throw listenError(port, error);
  }

  function flowOf(client: { address: string; port: number }): Flow {
    const key = `${client.address} ${client.port}`;
    const known = flows.get(key);
    // The order of the map is the order of use.
    flows.delete(key);
    const flow = known ?? { used_ms: 0, guest: openGuest(client) };
    flow.used_ms = performance.now();
    flows.set(key, flow);
    for (const [oldest] of flows) {
      if (flows.size <= MAX_FLOWS) break;
      drop(oldest);
    }
    return flow;
  }

  async function openGuest(client: { address: string; port: number }) {
    try {
      return await open(port.guestPort, (data) => {
        const flow = flows.get(`${client.address} ${client.port}`);
        if (flow) flow.used_ms = performance.now();
        sendDatagram(() => host.send(data, client.port, client.address));
      });
    } catch {
      return undefined;
    }
  }

  function drop(key: string): void {
    const flow = flows.get(key);
    flows.delete(key);
    void flow?.guest.then((socket) => socket?.close());
  }

  const sweep = setInterval(() => {
    const limit_ms = performance.now() - IDLE_MS;
    for (const [key, flow] of flows) if (flow.used_ms < limit_ms) drop(key);
  }, IDLE_MS / 2);
  sweep.unref();

  return {
    port: { ...port, hostPort: host.port },
    close: async () => {
      clearInterval(sweep);
      host.close();
      const sockets = [...flows.values()].map((flow) => flow.guest);
      flows.clear();
      for (const socket of await Promise.all(sockets)) socket?.close();
    },
  };
}

async function forward(data: Buffer, flow: Flow): Promise<void> {
  const guest = await flow.guest;
  guest?.send(data);
}
