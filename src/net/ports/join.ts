/** Two byte streams as one connection. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Keeps back-pressure and half-closing: each side ends its own direction. */
export function joinStreams(client: Socket, guest: Duplex): void {
  client.pipe(guest);
  guest.pipe(client);
  client.once("close", () => {
    if (!guest.writableFinished || !guest.readableEnded) guest.destroy();
  });
  guest.once("close", () => {
    if (!guest.readableEnded) client.resetAndDestroy();
    // Whatever the client still sends has nowhere to go once what it gets is through.
    else if (client.writableFinished) client.destroy();
    else client.once("finish", () => client.destroy());
  });
}
