/**
 * The user's ssh agent as a machine gets it: it lists keys, and signs logins to the hosts that were named and nothing
 * else. A client says by session-bind@openssh.com which server a connection is to, with that server's signature over the
 * session id; the user's known_hosts says whose key that is. PROTOCOL and PROTOCOL.agent of OpenSSH have the formats.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { Decision } from "#api/network.ts";
import { messageOf } from "#base/error.ts";
import { type AuthRequest, parseAuthRequest } from "./auth-request.ts";
import { isSignedBy } from "./host-key.ts";
import type { HostKeys } from "./known-hosts.ts";
import { UserAgent } from "./upstream.ts";
import { lengthAndBytes, Message, messagesOf, Reader } from "./wire.ts";

const SESSION_BIND = "session-bind@openssh.com";

export interface FilterOptions {
  machineId: string;
  /** As known_hosts has them: "github.com", "[git.example.com]:2222". */
  hosts: readonly string[];
  /** Of the user's agent. */
  socket: string;
  known: HostKeys;
  record: (decision: Decision) => void;
}

/** Serves one connection of a machine to its end. Never rejects. */
export async function serveAgent(client: Duplex, options: FilterOptions): Promise<void> {
  client.on("error", () => {});
  using session = new AgentSession(options);
  client.once("close", () => session[Symbol.dispose]());
  try {
    for await (const message of messagesOf(client)) {
      const answer = await session.answer(message);
      if (client.destroyed) return;
      if (!client.write(lengthAndBytes(answer))) {
        await Promise.race([once(client, "drain"), once(client, "close")]);
      }
    }
    client.end();
  } catch {
    // A client that breaks the protocol or has gone.
    client.destroy();
  }
}

interface Bound {
  host: string;
  key: Buffer;
  sessionId: Buffer;
}

class AgentSession implements Disposable {
  readonly #options: FilterOptions;
  #agent: Promise<UserAgent> | undefined;
  #bound: Bound | undefined;
  #isOver = false;

  constructor(options: FilterOptions) {
    this.#options = options;
  }

  /** `message`: at least its type. */
  async answer(message: Buffer): Promise<Buffer> {
    try {
      switch (message[0]) {
        case Message.requestIdentities:
          return await this.#ask(Buffer.of(Message.requestIdentities), Message.identitiesAnswer);
        case Message.signRequest:
          return await this.#sign(message);
        case Message.extension:
          return await this.#extension(message);
        default:
          this.#record(
            "denied",
            `message ${message[0]} is not allowed: only signing and listing are`,
          );
          return Buffer.of(Message.failure);
      }
    } catch (error) {
      this.#record("denied", messageOf(error));
      return Buffer.of(Message.failure);
    }
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#agent?.then(
      (agent) => agent[Symbol.dispose](),
      () => {},
    );
  }

  async #extension(message: Buffer): Promise<Buffer> {
    const reader = new Reader(message.subarray(1));
    // Clients ask for extensions in case there are some.
    if (reader.text() !== SESSION_BIND) return Buffer.of(Message.failure);
    const [key, sessionId, signature] = [reader.string(), reader.string(), reader.string()];
    const isForwarding = reader.bool();
    reader.end();
    const refuse = (reason: string): Buffer => {
      this.#record("denied", reason);
      return Buffer.of(Message.extensionFailure);
    };
    if (isForwarding) return refuse("the agent cannot be forwarded to another host");
    if (this.#bound) return refuse("the connection is bound to a host already");
    if (!isSignedBy(key, sessionId, signature)) {
      return refuse("the host key's signature of the session cannot be verified");
    }
    const host = await this.#hostOf(key);
    if (host === undefined) {
      const hosts = this.#options.hosts.join(", ");
      return refuse(`the server's host key is not that of ${hosts} in your known_hosts`);
    }
    this.#bound = { host, key, sessionId };
    // It may have constraints of its own on hosts; one that does not know the message has none.
    await this.#request(message);
    return Buffer.of(Message.success);
  }

  async #hostOf(key: Buffer): Promise<string | undefined> {
    const { hosts, known } = this.#options;
    const text = key.toString("base64");
    for (const host of hosts) if ((await known.keysOf(host)).has(text)) return host;
    return undefined;
  }

  async #sign(message: Buffer): Promise<Buffer> {
    const reader = new Reader(message.subarray(1));
    const [key, data] = [reader.string(), reader.string()];
    reader.u32();
    reader.end();
    const refusal = this.#refusal(key, data);
    if (refusal !== undefined) {
      this.#record("denied", refusal);
      return Buffer.of(Message.failure);
    }
    const answer = await this.#ask(message, Message.signResponse);
    if (answer[0] === Message.signResponse) this.#record("allowed", "signed a login");
    else this.#record("denied", "your ssh agent refused to sign");
    return answer;
  }

  /** Why it is not signed. */
  #refusal(key: Buffer, data: Buffer): string | undefined {
    const bound = this.#bound;
    if (!bound)
      return "the ssh client has not named a host that is allowed (OpenSSH 8.9 or newer does)";
    let request: AuthRequest;
    try {
      request = parseAuthRequest(data);
    } catch {
      return "only logins are signed";
    }
    if (!request.sessionId.equals(bound.sessionId)) return "the login is for another session";
    if (!request.key.equals(key)) return "the login is with another key";
    const isOther = request.hostKey !== undefined && !request.hostKey.equals(bound.key);
    return isOther ? "the login is for another host key" : undefined;
  }

  /** Only the answer that belongs to the request goes back. */
  async #ask(message: Uint8Array, expected: number): Promise<Buffer> {
    const answer = await this.#request(message);
    return answer[0] === expected ? answer : Buffer.of(Message.failure);
  }

  async #request(message: Uint8Array): Promise<Buffer> {
    this.#agent ??= UserAgent.open(this.#options.socket);
    const agent = await this.#agent;
    if (this.#isOver) agent[Symbol.dispose]();
    return await agent.request(message);
  }

  #record(verdict: "allowed" | "denied", reason: string): void {
    const { machineId, record } = this.#options;
    const name = this.#bound ? { name: this.#bound.host } : {};
    record({ at: new Date().toISOString(), machineId, verdict, protocol: "ssh", ...name, reason });
  }
}
