/** Ports inside a machine, reached through the daemon; the machine needs no network. */
import { createServer, type Socket } from "node:net";
import type { CallOptions, ListeningSocket } from "#sdk/types.ts";
import type { Target } from "./command.ts";

/** A local port that forwards to one in the machine until it is closed. */
export interface Forward {
  host: string;
  port: number;
  close(): Promise<void>;
}

export class Ports {
  readonly #target: Target;

  /** @internal */
  constructor(target: Target) {
    this.#target = target;
  }

  /** Lists listening sockets in the machine. */
  async list({ signal }: CallOptions = {}): Promise<ListeningSocket[]> {
    return await this.#target.connection.client.inside.ports({ name: this.#target.vm }, { signal });
  }

  /** Forwards connections from `hostPort`, or a free port, of 127.0.0.1. */
  async forward(guestPort: number, { hostPort = 0 } = {}): Promise<Forward> {
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      this.#pass(socket, guestPort);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(hostPort, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no address of its own");
    return {
      host: "127.0.0.1",
      port: address.port,
      async close() {
        for (const socket of open) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  #pass(socket: Socket, port: number): void {
    const stream = this.#target.connection.open(
      { kind: "connect", vm: this.#target.vm, target: { host: "127.0.0.1", port } },
      {
        onStdout: async (bytes) => {
          if (!socket.write(bytes)) await new Promise((resolve) => socket.once("drain", resolve));
        },
      },
    );
    socket.on("data", async (bytes: Buffer) => {
      socket.pause();
      if (await stream.writeStdin(bytes)) socket.resume();
    });
    socket.on("end", () => stream.endStdin());
    socket.on("error", () => stream.close());
    socket.on("close", () => stream.close());
    stream.started.catch(() => socket.destroy());
    stream.exited.then(
      () => socket.end(),
      () => socket.destroy(),
    );
  }
}
