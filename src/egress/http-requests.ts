/** Follows the requests on one HTTP/1 connection, and lets the bytes of each pass once its Host is admitted. */
import { MAX_HEAD_BYTES, parseRequestHead, RequestError, type RequestHead } from "./http-head.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const MAX_CHUNK_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8192;

type State =
  | { in: "head" | "chunk-line" | "chunk-end" | "trailer" | "raw" }
  | { in: "body" | "chunk"; left_bytes: number }
  /** A WebSocket has been asked for: what comes next depends on the server's answer. */
  | { in: "upgrade" };

export class HttpRequests {
  readonly #admit: (head: RequestHead) => void;
  #state: State = { in: "head" };
  #pending: Buffer = Buffer.alloc(0);
  #count = 0;
  #trailer_bytes = 0;

  /** `admit` throws the reason why a request must not pass. */
  constructor(admit: (head: RequestHead) => void) {
    this.#admit = admit;
  }

  /** Whether nothing passes until `upgraded` is called. */
  get isWaiting(): boolean {
    return this.#state.in === "upgrade";
  }

  /** The bytes that may be sent on. Throws `RequestError`, and then nothing more may be. */
  take(chunk: Buffer): Buffer[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const passed: Buffer[] = [];
    while (this.#pending.length > 0 && !this.isWaiting) {
      const next = this.#step();
      if (!next) break;
      passed.push(next);
    }
    return passed;
  }

  /** After the server has answered the request for a WebSocket: whether it has switched. Gives what was kept back. */
  upgraded(hasSwitched: boolean): Buffer[] {
    if (!this.isWaiting) return [];
    this.#state = { in: hasSwitched ? "raw" : "head" };
    return this.take(Buffer.alloc(0));
  }

  /** Undefined when more bytes are needed. */
  #step(): Buffer | undefined {
    const state = this.#state;
    switch (state.in) {
      case "head":
        return this.#head();
      case "body":
      case "chunk":
        return this.#counted(state);
      case "chunk-line":
        return this.#chunkLine();
      case "chunk-end":
        return this.#chunkEnd();
      case "trailer":
        return this.#trailer();
      case "raw":
        return this.#pass(this.#pending.length);
      case "upgrade":
        return undefined;
    }
  }

  #head(): Buffer | undefined {
    const end = this.#pending.indexOf(HEAD_END);
    if (end < 0 || end > MAX_HEAD_BYTES) {
      if (this.#pending.length > MAX_HEAD_BYTES) throw new RequestError("HTTP head is too large");
      return undefined;
    }
    const bytes = this.#pass(end + HEAD_END.length);
    const head = parseRequestHead(bytes, { mayUpgrade: this.#count === 0 });
    this.#count++;
    this.#admit(head);
    const { body } = head;
    if (body.kind === "chunked") this.#state = { in: "chunk-line" };
    else if (body.kind === "length") this.#state = { in: "body", left_bytes: body.left_bytes };
    if (head.isUpgrade) {
      if (body.kind !== "none") throw new RequestError("HTTP upgrade with a body");
      this.#state = { in: "upgrade" };
    }
    return head.bytes;
  }

  #counted(state: { in: "body" | "chunk"; left_bytes: number }): Buffer {
    const bytes = this.#pass(Math.min(state.left_bytes, this.#pending.length));
    state.left_bytes -= bytes.length;
    if (state.left_bytes === 0) this.#state = { in: state.in === "chunk" ? "chunk-end" : "head" };
    return bytes;
  }

  #chunkLine(): Buffer | undefined {
    const line = this.#line(MAX_CHUNK_LINE_BYTES);
    if (!line) return undefined;
    const [, size] =
      /^([0-9a-fA-F]{1,12})([ \t]*;[\t -~]*)?\r\n$/.exec(line.toString("latin1")) ?? [];
    if (size === undefined) throw new RequestError("malformed HTTP chunk");
    const left_bytes = Number.parseInt(size, 16);
    this.#trailer_bytes = 0;
    this.#state = left_bytes === 0 ? { in: "trailer" } : { in: "chunk", left_bytes };
    return line;
  }

  #chunkEnd(): Buffer | undefined {
    const line = this.#line(0);
    if (line) this.#state = { in: "chunk-line" };
    return line;
  }

  #trailer(): Buffer | undefined {
    const line = this.#line(MAX_TRAILER_BYTES);
    if (!line) return undefined;
    this.#trailer_bytes += line.length;
    if (this.#trailer_bytes > MAX_TRAILER_BYTES)
      throw new RequestError("HTTP trailer is too large");
    if (line.length === LINE_END.length) this.#state = { in: "head" };
    return line;
  }

  /** A line of at most so many bytes, with its end. */
  #line(max_bytes: number): Buffer | undefined {
    const end = this.#pending.indexOf(LINE_END);
    const length = end < 0 ? this.#pending.length - 1 : end;
    if (length > max_bytes) throw new RequestError("malformed HTTP body");
    if (end < 0) return undefined;
    const line = this.#pass(end + LINE_END.length);
    if (/[\r\n]/.test(line.subarray(0, -2).toString("latin1"))) {
      throw new RequestError("malformed HTTP body");
    }
    return line;
  }

  #pass(count: number): Buffer {
    const bytes = this.#pending.subarray(0, count);
    this.#pending = this.#pending.subarray(count);
    return bytes;
  }
}
