/**
 * The ssh server for one machine and one client, over a stream. The machine's authorized keys decide who may log in;
 * everything else is a stream of the guest.
 */
import type { Duplex } from "node:stream";
import { type AuthContext, type Connection, type ParsedKey, Server, utils } from "ssh2";
import type { ExecOpen } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { version } from "#base/version.ts";
import { openExec } from "#sdk/exec.ts";
import { type Guest, pump, writeChannel } from "./channel.ts";
import { serveReverse } from "./reverse.ts";
import { serveSession } from "./session.ts";

export interface SshIdentity {
  /** Private host key, OpenSSH format. */
  hostKey: string;
  /** One authorized_keys line each. */
  authorizedKeys: readonly string[];
}

/** Resolves when the client has left. */
export async function serveSsh(
  transport: Duplex,
  guest: Guest,
  identity: SshIdentity,
): Promise<void> {
  const keys = identity.authorizedKeys.map(parseKey).filter((key) => key !== undefined);
  const ended = Promise.withResolvers<void>();
  let failure: BangerError | undefined;
  // Only to a server of this name the client says that nobody reads a command's output any more.
  const ident = `OpenSSH_9.9 banger_${version.version}`;
  const server = new Server({ hostKeys: [identity.hostKey], ident });
  server.on("connection", (client) => {
    let user = "";
    client.on("authentication", (context) => {
      if (!isAuthorised(context, keys)) return context.reject(["publickey"]);
      user = context.username;
      context.accept();
    });
    client.on("session", (accept) => serveSession(accept(), { client, guest, user }));
    serveForwarding(client, guest);
    serveReverse(client, guest, () => user);
    client.on("close", () => ended.resolve());
    client.on("error", (error: Error & { level?: string }) => {
      // The client is told of these by ssh itself; one that goes away is no failure.
      if (error.level === "socket" || error.level === "handshake") return;
      failure ??= new BangerError(
        "invalid_argument",
        `protocol error from the ssh client: ${error.message}`,
        {
          hint: "ssh packets are limited to 256 KiB: pass long commands on stdin",
        },
      );
      transport.destroy();
    });
  });
  // What is asked of the socket is there, see the transport.
  server.injectSocket(transport as unknown as Parameters<typeof server.injectSocket>[0]);
  transport.on("close", () => ended.resolve());
  await ended.promise;
  if (failure) throw failure;
}

/** "ssh-ed25519 AAAA…" of a private key in OpenSSH format. Throws `internal` for anything else. */
export function publicKeyOf(privateKey: string): string {
  const key = parseKey(privateKey);
  if (!key) throw new BangerError("internal", "Cannot read the machine's host key");
  return `${key.type} ${key.getPublicSSH().toString("base64")}`;
}

/** The line's key; undefined for one that this server does not know how to check. */
function parseKey(line: string): ParsedKey | undefined {
  const parsed = utils.parseKey(line);
  if (parsed instanceof Error) return undefined;
  return Array.isArray(parsed) ? parsed[0] : parsed;
}

/** Without a signature the client only asks whether the key would do. */
function isAuthorised(context: AuthContext, keys: readonly ParsedKey[]): boolean {
  if (context.method !== "publickey") return false;
  const { key, signature, blob, hashAlgo } = context;
  const known = keys.find((each) => each.getPublicSSH().equals(key.data));
  if (!known) return false;
  if (!signature) return true;
  return blob !== undefined && known.verify(blob, signature, hashAlgo) === true;
}

/** `ssh -L`: connections of the client's come out inside the machine. */
function serveForwarding(client: Connection, guest: Guest): void {
  client.on("tcpip", (accept, reject, { destIP, destPort }) => {
    void forward({ host: destIP, port: destPort }, accept, reject);
  });
  client.on("openssh.streamlocal", (accept, reject, { socketPath }) => {
    void forward({ path: socketPath }, accept, reject);
  });
  async function forward(
    target: Extract<ExecOpen, { kind: "connect" }>["target"],
    accept: () => Duplex,
    reject: () => void,
  ): Promise<void> {
    const accepted = Promise.withResolvers<Duplex>();
    const connection = openExec(
      guest.socket,
      { kind: "connect", vm: guest.vm, target },
      { onStdout: async (bytes) => await writeChannel(await accepted.promise, bytes) },
    );
    try {
      await connection.started;
    } catch {
      return reject();
    }
    const channel = accept();
    accepted.resolve(channel);
    channel.on("close", connection.close);
    void pump(channel, connection);
    await connection.exited.catch(() => {});
    channel.end();
  }
}
