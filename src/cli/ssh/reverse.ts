/** Remote forwarding (`ssh -R`) and agent forwarding: connections inside the machine go to the client. */
import type { Connection, ServerChannel } from "ssh2";
import { BangerError } from "#base/error.ts";
import type { Guest } from "./channel.ts";
import { GuestListener, type ListenTarget, type Peer } from "./listen.ts";

const LISTENERS_MAX = 32;
const WINDOW_BYTES = 2 * 1024 * 1024;
const PACKET_BYTES = 32 * 1024;

type Opened = (error: Error | undefined, channel: ServerChannel) => void;
type Request = { bindAddr?: string; bindPort?: number; socketPath?: string };

/** Answers the client's requests to listen, and to stop it. */
export function serveReverse(client: Connection, guest: Guest, userOf: () => string): void {
  const listeners = new Map<string, GuestListener>();
  client.on("close", () => {
    for (const listener of listeners.values()) listener.close();
  });
  client.on(
    "request",
    (
      accept: ((port?: number) => void) | undefined,
      reject: (() => void) | undefined,
      name: string,
      request: Request,
    ) => {
      if (name === "tcpip-forward" || name === "streamlocal-forward@openssh.com") {
        start(request).then(
          (port) => accept?.(port),
          () => reject?.(),
        );
        return;
      }
      const found = name.startsWith("cancel-") ? listeners.get(keyOf(request)) : undefined;
      found?.close();
      listeners.delete(keyOf(request));
      (found ? accept : reject)?.();
    },
  );

  async function start(request: Request): Promise<number> {
    if (listeners.size >= LISTENERS_MAX || listeners.has(keyOf(request))) {
      throw new BangerError("limit_exceeded", "Cannot listen in the machine: too many listeners");
    }
    let port = request.bindPort ?? 0;
    const open = (peer: Peer): Promise<ServerChannel> =>
      channelOf((opened) => {
        if (request.socketPath !== undefined) {
          client.openssh_forwardOutStreamLocal(request.socketPath, opened);
        } else {
          client.forwardOut(request.bindAddr ?? "", port, peer.host, peer.port, opened);
        }
      });
    const listener = new GuestListener(guest, { user: userOf(), target: targetOf(request) }, open);
    listeners.set(keyOf(request), listener);
    try {
      ({ port } = await listener.ready);
      // A free port that was chosen is the one by which the client will name it.
      if (request.bindPort === 0) listeners.set(keyOf({ ...request, bindPort: port }), listener);
      return port;
    } catch (error) {
      listeners.delete(keyOf(request));
      throw error;
    }
  }
}

/** A socket in the machine for SSH_AUTH_SOCK, whose connections go to the client's own agent. */
export function forwardAgent(
  client: Connection,
  guest: Guest,
  user: string,
): { path: Promise<string>; close: () => void } {
  const listener = new GuestListener(guest, { user, target: { kind: "agent" } }, () =>
    channelOf((opened) => openAgentChannel(client, opened)),
  );
  return { path: listener.ready.then(({ path }) => path), close: () => listener.close() };
}

function channelOf(open: (opened: Opened) => void): Promise<ServerChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerChannel>();
  open((error, channel) => (error ? reject(error) : resolve(channel)));
  return promise;
}

/** The library knows this channel of OpenSSH's, and has no public name for opening it from the server. */
interface Inner {
  _chanMgr: { add(opened: Opened & { type?: string }): number };
  _protocol: { openssh_authAgent(channel: number, window: number, packet: number): void };
}

function openAgentChannel(client: Connection, opened: Opened): void {
  const inner = client as unknown as Inner;
  const wrapper: Opened & { type?: string } = (error, channel) => opened(error, channel);
  wrapper.type = "auth-agent@openssh.com";
  const channel = inner._chanMgr.add(wrapper);
  if (channel === -1) {
    opened(new Error("no free channels"), undefined as never);
    return;
  }
  inner._protocol.openssh_authAgent(channel, WINDOW_BYTES, PACKET_BYTES);
}

function keyOf({ bindAddr, bindPort, socketPath }: Request): string {
  return socketPath ?? `${bindAddr} ${bindPort}`;
}

function targetOf({ bindAddr, bindPort, socketPath }: Request): ListenTarget {
  if (socketPath !== undefined) return { kind: "unix", path: socketPath };
  return { kind: "tcp", address: bindAddr ?? "", port: bindPort ?? 0 };
}
