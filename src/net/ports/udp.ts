/** Carries datagrams between one UDP port of the host and a machine, a socket for each client. */
import type { Address } from "#net/address.ts";
import { sendDatagram } from "#net/datagram.ts";
import { listenError } from "./failure.ts";
import type { PublishedPort } from "./spec.ts";
import type { OpenPort } from "./tcp.ts";

/** Clients beyond this take the place of the one that has been silent for longest. */
const MAX_FLOWS = 256;
const IDLE_MS = 60_000;

interface Flow {
  guest: Promise<GuestSocket | undefined>;
  /** `performance.now()` of the last datagram, either way. */
  used_ms: number;
}

type GuestSocket = Bun.udp.ConnectedSocket<"buffer">;

/** `hostPort` of the result is the one that was taken. Errors as in `listenError`. */
export async function openUdpPort(port: PublishedPort, guest: Address): Promise<OpenPort> {
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
      return await Bun.udpSocket({
        connect: { hostname: guest, port: port.guestPort },
        socket: {
          data: (_socket, data) => {
            const flow = flows.get(`${client.address} ${client.port}`);
            if (flow) flow.used_ms = performance.now();
            sendDatagram(() => host.send(data, client.port, client.address));
          },
          // The machine refuses the port: to the client that is silence, as from a closed port.
          error() {},
        },
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
  if (guest) sendDatagram(() => guest.send(data));
}
