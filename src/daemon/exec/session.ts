/**
 * The daemon's side of one exec WebSocket, as specified in src/api/exec.ts: reads the client's messages and
 * passes them to the stream that it opened.
 */

import { execClientMessage, execOpen } from "#api/exec.ts";
import type { Caller } from "#api/serve/caller.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { badInput } from "#daemon/bad-input.ts";
import { authorizeExec } from "#daemon/serve/authorize.ts";
import { openElsewhere } from "./elsewhere.ts";
import { type Socket, SocketWire } from "./socket-wire.ts";
import { openStream, type StreamServices } from "./streams.ts";
import type { ExecSession } from "./wire.ts";

export class SocketSession implements ExecSession {
  readonly #socket: Socket;
  readonly #services: StreamServices;
  readonly #caller: Caller;
  readonly #wire: SocketWire;
  #isOpened = false;
  /** Has the session when another process has the machine. */
  #delegate: ExecSession | undefined;
  /** Stdin in order: each write waits for the one before it. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(socket: Socket, services: StreamServices, caller: Caller) {
    this.#socket = socket;
    this.#services = services;
    this.#caller = caller;
    this.#wire = new SocketWire(socket, services);
  }

  receive(message: string | Uint8Array): void {
    try {
      if (this.#delegate) this.#delegate.receive(message);
      else if (typeof message !== "string") this.#write(new Uint8Array(message));
      else if (this.#isOpened) this.#control(message);
      else this.#open(message);
    } catch (error) {
      this.#wire.fail(error);
    }
  }

  clientLeft(): void {
    this.#wire.close();
    this.#delegate?.clientLeft();
  }

  #open(message: string): void {
    this.#isOpened = true;
    const request = execOpen.safeParse(parseJson(message));
    if (!request.success) throw badInput(request.error.issues);
    authorizeExec(this.#services, this.#caller, request.data);
    const { vms } = this.#services;
    const elsewhere = "vm" in request.data ? vms.socketElsewhere(request.data.vm) : undefined;
    if (elsewhere !== undefined) {
      const fail = (error: BangerError): void => this.#wire.fail(error);
      this.#delegate = openElsewhere(this.#socket, { socket: elsewhere, fail });
      this.#delegate.receive(message);
      return;
    }
    const { token } = this.#caller;
    openStream(this.#wire, request.data, { ...this.#services, token }).then(
      (exit) => this.#wire.finish({ exit }),
      (error: unknown) => this.#wire.fail(error),
    );
  }

  #write(bytes: Uint8Array): void {
    this.#writing = this.#writing
      .then(() => this.#wire.target?.write?.(bytes))
      .then(() => this.#wire.say({ grant: bytes.length }))
      .catch(() => {});
  }

  #control(text: string): void {
    const parsed = execClientMessage.safeParse(parseJson(text));
    if (!parsed.success) throw new BangerError("invalid_argument", "unexpected exec message");
    const message = parsed.data;
    const wire = this.#wire;
    if ("grant" in message) wire.grant(message.grant);
    else if ("resize" in message) wire.target?.resize?.(message.resize);
    else if ("go" in message) wire.go();
    else if ("signal" in message) wire.target?.signal?.(message.signal);
    else this.#writing = this.#writing.then(() => wire.target?.end?.()).catch(() => {});
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BangerError("invalid_argument", `invalid exec message: ${messageOf(error)}`);
  }
}
