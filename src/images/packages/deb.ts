/**
 * Repacks Debian packages without compression, since decompression is slow in an emulated machine. Packages were
 * verified against a signed index, and are still parsed as untrusted input.
 * Source: deb(5), ar(5).
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { decompress } from "#base/decompress.ts";
import { BangerError } from "#base/error.ts";
import { which } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";

const MAGIC = "!<arch>\n";
const HEADER_BYTES = 60;
const CHUNK_BYTES = MiB;
const MEMBERS_MAX = 16;
const CONTROL_MAX_BYTES = 16 * MiB;
const DATA_MAX_BYTES = 512 * MiB;
/** Of memory that xz takes for its dictionary: the largest preset needs 65 MiB. */
const XZ_MEMORY = "256MiB";
const STANZA_MAX_BYTES = 256 * 1024;

export interface Member {
  name: string;
  offset: number;
  size: number;
}

export interface UnpackedDeb {
  /** The fields of its control file, one below the other. */
  stanza: string;
  sha256: string;
  size: number;
}

/** Writes the package at `from` to `to` without compression. */
export async function unpackDeb(
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<UnpackedDeb> {
  const input = openSync(from, "r");
  try {
    const output = new ArWriter(openSync(to, "wx+", 0o600));
    try {
      let stanza: string | undefined;
      for (const member of membersOf(input)) {
        const bytes = readMember(input, member);
        const kind = /^(control|data)\.tar(\.(?:gz|xz|zst))?$/.exec(member.name);
        if (!kind) {
          if (member.name.startsWith("_") || member.name === "debian-binary") {
            await output.add(member.name, bytes, { max_bytes: MiB, signal });
            continue;
          }
          throw broken(`member "${member.name}"`);
        }
        const [, name = "", compression] = kind;
        const isControl = name === "control";
        const plain = decompressed(compression, bytes, signal);
        const reader = isControl ? new StanzaReader() : undefined;
        const max_bytes = isControl ? CONTROL_MAX_BYTES : DATA_MAX_BYTES;
        await output.add(`${name}.tar`, reader ? reader.through(plain) : plain, {
          max_bytes,
          signal,
        });
        if (reader) stanza = reader.stanza;
      }
      if (stanza === undefined) throw broken("no control file");
      return { stanza, ...output.finish() };
    } finally {
      output.close();
    }
  } finally {
    closeSync(input);
  }
}

/** The members of the archive, in order. */
export function membersOf(fd: number): Member[] {
  const head = Buffer.alloc(HEADER_BYTES);
  const read = (position: number, length: number): string => {
    const count = readSync(fd, head, 0, length, position);
    return head.toString("latin1", 0, count);
  };
  if (read(0, MAGIC.length) !== MAGIC) throw broken("no ar archive");
  const members: Member[] = [];
  for (let at = MAGIC.length; ; ) {
    const text = read(at, HEADER_BYTES);
    if (text === "") return members;
    const match = /^([\w.-]{1,15})\/? *\d+ +\d+ +\d+ +[0-7]+ +(\d{1,10}) *`\n$/.exec(text);
    if (!match?.[1] || members.length === MEMBERS_MAX) throw broken("archive header");
    const size = Number(match[2]);
    members.push({ name: match[1], offset: at + HEADER_BYTES, size });
    at += HEADER_BYTES + size + (size % 2);
  }
}

export function* readMember(
  fd: number,
  { offset, size }: Pick<Member, "offset" | "size">,
): Generator<Uint8Array> {
  for (let done = 0; done < size; ) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - done));
    const count = readSync(fd, chunk, 0, chunk.length, offset + done);
    if (count === 0) throw broken("it ends early");
    done += count;
    yield chunk.subarray(0, count);
  }
}

function decompressed(
  compression: string | undefined,
  bytes: Iterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (compression === ".gz") return decompress(createGunzip(), bytes);
  if (compression === ".zst") return decompress(createZstdDecompress(), bytes);
  return compression === ".xz" ? unxz(bytes, signal) : bytes;
}

/** By the host's program, with nothing of our environment. */
async function* unxz(bytes: Iterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const program = which("xz");
  if (!program) throw new BangerError("unsupported", '"xz" is not installed');
  const child = Bun.spawn([program, "-dc", `--memlimit-decompress=${XZ_MEMORY}`], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    env: {},
    killSignal: "SIGKILL",
    signal,
  });
  const feeding = feed(child.stdin, bytes);
  feeding.catch(() => {});
  try {
    for await (const chunk of child.stdout) yield chunk;
    throwIfAborted(signal);
    if ((await child.exited) !== 0) throw broken("xz data");
    await feeding;
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

async function feed(sink: Bun.FileSink, bytes: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of bytes) {
    sink.write(chunk);
    await sink.flush();
  }
  await sink.end();
}

/** Reads a control file out of an archive that passes by. */
class StanzaReader {
  #parts: Buffer[] = [];
  #size = 0;
  #isControl = false;

  async *through(
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    const reader = new TarReader({
      entry: (entry) => this.#enter(entry),
      data: (chunk) => this.#take(chunk),
      end: () => {},
    });
    for await (const chunk of bytes) {
      reader.push(chunk);
      yield chunk;
    }
    reader.finish();
  }

  get stanza(): string | undefined {
    const text = Buffer.concat(this.#parts).toString().trim();
    return text === "" || /\n[ \t]*\n/.test(text) ? undefined : text;
  }

  #enter({ name, type }: TarEntry): void {
    const path = Buffer.from(name).toString("latin1").replace(/^\.\//, "");
    this.#isControl = path === "control" && type === "file";
  }

  #take(chunk: Uint8Array): void {
    if (!this.#isControl) return;
    this.#size += chunk.length;
    if (this.#size > STANZA_MAX_BYTES) throw broken("control file too long");
    this.#parts.push(Buffer.from(chunk));
  }
}

class ArWriter {
  readonly #fd: number;
  #at = 0;

  /** Takes `fd` over. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#write(Buffer.from(MAGIC));
  }

  /** The size stands before the data, and is filled in behind it. */
  async add(
    name: string,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    { max_bytes, signal }: { max_bytes: number; signal: AbortSignal },
  ): Promise<void> {
    const start = this.#at;
    this.#at += HEADER_BYTES;
    let size = 0;
    for await (const chunk of bytes) {
      throwIfAborted(signal);
      size += chunk.length;
      if (size > max_bytes) throw new BangerError("limit_exceeded", `"${name}" is too large`);
      this.#write(chunk);
    }
    const fields = [name.padEnd(16), "0".padEnd(12), "0".padEnd(6), "0".padEnd(6), "100644  "];
    const header = `${fields.join("")}${String(size).padEnd(10)}\`\n`;
    assert(header.length === HEADER_BYTES, "the header of a member has a fixed length");
    writeAll(this.#fd, Buffer.from(header), start);
    if (size % 2 === 1) this.#write(Buffer.from("\n"));
  }

  finish(): { sha256: string; size: number } {
    const hash = new Bun.CryptoHasher("sha256");
    for (const chunk of readMember(this.#fd, { offset: 0, size: this.#at })) hash.update(chunk);
    return { sha256: hash.digest("hex"), size: this.#at };
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    writeAll(this.#fd, bytes, this.#at);
    this.#at += bytes.length;
  }
}

function writeAll(fd: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  }
}

export function broken(what: string): BangerError {
  return new BangerError("integrity", `broken Debian package: ${what}`);
}
