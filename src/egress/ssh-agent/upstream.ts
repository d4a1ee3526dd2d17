/** A connection to the user's own ssh agent. */
import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { BangerError } from "#base/error.ts";
import { lengthAndBytes, messagesOf } from "./wire.ts";

/** Throws for a socket that is not there, and for one of another user: root could connect to anybody's. */
export function checkAgentSocket(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  const uid = process.getuid?.();
  if (found?.isSocket() && found.uid === uid) return;
  const problem = found?.isSocket()
    ? `"${path}" belongs to user ${found.uid}, and the daemon runs as user ${uid}`
    : `"${path}" is not a socket`;
  throw new BangerError("not_found", `Cannot use the ssh agent: ${problem}`, {
    hint: "Start an agent and add your key: eval $(ssh-agent); ssh-add",
  });
}

export class UserAgent implements Disposable {
  readonly #socket: Socket;
  readonly #answers: AsyncGenerator<Buffer, void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#answers = messagesOf(socket);
  }

  static async open(path: string): Promise<UserAgent> {
    checkAgentSocket(path);
    const socket = connect({ path });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", resolve).once("error", reject);
    await promise;
    socket.on("error", () => {});
    return new UserAgent(socket);
  }

  /** One request at a time. */
  async request(message: Uint8Array): Promise<Buffer> {
    this.#socket.write(lengthAndBytes(message));
    const { value } = await this.#answers.next();
    if (!value) throw new BangerError("unavailable", "the ssh agent has hung up");
    return value;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
