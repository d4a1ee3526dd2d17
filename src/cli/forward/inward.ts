/** Remote forwarding: a port or socket in a machine whose connections go to the host. */
import { connect } from "node:net";
import { messageOf } from "#base/error.ts";
import type { ReverseChannel } from "#cli/ssh/link.ts";
import { GuestListener } from "#cli/ssh/listen.ts";
import type { ForwardOptions } from "./outward.ts";
import { endText, type ForwardSpec } from "./spec.ts";

const LOOPBACK = "127.0.0.1";

/** Listens in the machine as root; the result's `ended` tells when the machine is out of reach. */
export function listenThere(
  spec: ForwardSpec,
  options: ForwardOptions,
): GuestListener & { text: string } {
  const { local, remote } = spec;
  const target =
    remote.kind === "unix"
      ? ({ kind: "unix", path: remote.path } as const)
      : ({ kind: "tcp", address: remote.host ?? LOOPBACK, port: remote.port } as const);
  const listener = new GuestListener(options, { user: "root", target }, async () => {
    try {
      return await connectHere(local);
    } catch (error) {
      options.onFailure(`Cannot connect to ${endText(local, LOOPBACK)}: ${messageOf(error)}`);
      throw error;
    }
  });
  return Object.assign(listener, { text: endText(remote, LOOPBACK) });
}

async function connectHere(local: ForwardSpec["local"]): Promise<ReverseChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({
    ...(local.kind === "unix"
      ? { path: local.path }
      : { host: local.host ?? LOOPBACK, port: local.port }),
    allowHalfOpen: true,
  });
  socket.once("connect", resolve);
  socket.once("error", reject);
  await promise;
  return Object.assign(socket, { eof: () => socket.end() });
}
