/** Streaming parser of multipart/form-data: a large file is never held in memory. */
import { KiB } from "#base/size.ts";
import { badRequest } from "#e2b/errors.ts";

const HEADERS_MAX_BYTES = 16 * KiB;
const PARTS_MAX = 1000;
const CRLF2 = Buffer.from("\r\n\r\n");

export interface Part {
  name: string | undefined;
  filename: string | undefined;
  /** To be read to its end before the next part. */
  data: AsyncGenerator<Uint8Array, void>;
}

export function boundaryOf(type: string): string | undefined {
  const found = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(
    type,
  );
  return found?.[1] ?? found?.[2];
}

export async function* readParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<Part, void> {
  const input = new Input(source);
  // The first boundary may have no line before it.
  input.prepend(Buffer.from("\r\n"));
  const mark = Buffer.from(`\r\n--${boundary}`);
  for await (const _ of input.until(mark)) {
    // The preamble before the first boundary is ignored.
  }
  for (let count = 0; ; count++) {
    if (await input.isLast()) return;
    if (count >= PARTS_MAX) throw badRequest(`more than ${PARTS_MAX} files in one request`);
    const headers = await input.headers();
    const data = input.until(mark);
    yield { ...namesOf(headers), data };
    for await (const _ of data) {
      // Skip the unread rest of the part.
    }
  }
}

class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #kept = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  prepend(bytes: Buffer): void {
    this.#kept = Buffer.concat([bytes, this.#kept]);
  }

  /** All bytes before the mark, which is skipped. */
  async *until(mark: Buffer): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const at = this.#kept.indexOf(mark);
      if (at >= 0) {
        const last = this.#kept.subarray(0, at);
        this.#kept = this.#kept.subarray(at + mark.length);
        if (last.length > 0) yield last;
        return;
      }
      // The mark may have begun in the last bytes.
      const safe = this.#kept.length - mark.length + 1;
      if (safe > 0) {
        const piece = this.#kept.subarray(0, safe);
        this.#kept = this.#kept.subarray(safe);
        yield piece;
      }
      await this.#more();
    }
  }

  /** Behind a boundary: whether it was the last one. */
  async isLast(): Promise<boolean> {
    while (this.#kept.length < 2) await this.#more();
    if (this.#kept.toString("latin1", 0, 2) === "--") return true;
    if (this.#kept.toString("latin1", 0, 2) === "\r\n") return false;
    throw badRequest("invalid multipart body: no line end behind a boundary");
  }

  /** From the line end behind a boundary to the empty line. */
  async headers(): Promise<string> {
    for (;;) {
      const at = this.#kept.indexOf(CRLF2);
      if (at >= 0) {
        const text = this.#kept.toString("utf8", 2, Math.max(at, 2));
        this.#kept = this.#kept.subarray(at + CRLF2.length);
        return text;
      }
      if (this.#kept.length > HEADERS_MAX_BYTES) throw badRequest("multipart headers too long");
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done) throw badRequest("truncated multipart body");
    this.#kept = this.#kept.length === 0 ? Buffer.from(value) : Buffer.concat([this.#kept, value]);
  }
}

function namesOf(headers: string): Pick<Part, "name" | "filename"> {
  const line = headers.split("\r\n").find((each) => /^content-disposition:/i.test(each)) ?? "";
  return { name: parameter(line, "name"), filename: filenameOf(line) };
}

/** RFC 5987's form, which is encoded, wins over the plain one. */
function filenameOf(line: string): string | undefined {
  const encoded = /;\s*filename\*=utf-8''([^;\s]+)/i.exec(line)?.[1];
  if (encoded === undefined) return parameter(line, "filename");
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw badRequest("invalid file name in the multipart body");
  }
}

/** Browsers, and fetch(), write quotes and line ends as percent escapes and nothing else. */
function parameter(line: string, name: string): string | undefined {
  const found = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, "i").exec(line)?.[1];
  if (found === undefined) return undefined;
  const plain = found.replace(/\\(["\\])/g, "$1");
  return plain.replace(/%(22|0D|0A)/gi, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}
