/** Writes a layer's tar to a file and hashes it. */
import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { assertRoom } from "#base/files/free-space.ts";
import { nonZeroParts } from "#base/files/sparse.ts";
import { formatSize, GiB, MiB } from "#base/size.ts";
import { slices } from "#base/slices.ts";
import type { Layer } from "#oci/layer.ts";
import { TAR_END, tarHeader, tarPadding, type WrittenEntry } from "#tar/write.ts";

const BUFFER_BYTES = MiB;
const LAYER_MAX_BYTES = 64 * GiB;
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

export interface BuiltLayer {
  path: string;
  diffId: Digest;
  size_bytes: number;
}

/** A built layer as a layer of an image. */
export function asLayer({ path, diffId, size_bytes }: BuiltLayer): Layer {
  return {
    digest: diffId,
    diffId,
    size: size_bytes,
    mediaType: LAYER_TYPE,
    compressed: (signal) => readChunks(path, { signal }),
  };
}

/** `path` must not exist; the caller removes it on failure. */
export class LayerFile implements Disposable {
  readonly #path: string;
  readonly #fd: number;
  readonly #hash = createHash("sha256");
  /** Hash of the entries without times, which identifies equal steps. */
  readonly #content = createHash("sha256");
  /** Yields to the event loop, since sources may be synchronous. */
  readonly #pause = slices();
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #fill = 0;
  /** Bytes written to the file so far. */
  #flushed = 0;
  #size = 0;
  #isOpen = true;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "wx", 0o600);
  }

  /** An entry with its data, which must be `entry.size` bytes. */
  async entry(entry: WrittenEntry, data?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.header(entry);
    let done = 0;
    for await (const chunk of data ?? []) {
      this.data(chunk);
      done += chunk.length;
      await this.#pause();
    }
    if (done !== entry.size) throw new BangerError("conflict", "file changed while reading it");
    this.pad(done);
  }

  header(entry: WrittenEntry): void {
    const { xattrs, name, linkName, mtime_s: _s, mtime_ns: _ns, ...rest } = entry;
    const texts = [
      name,
      linkName ?? [],
      ...(xattrs ?? []).flatMap((each) => [each.name, each.value]),
    ];
    const parts = [rest, ...texts.map((bytes) => Buffer.from(bytes).toString("latin1"))];
    this.#content.update(JSON.stringify(parts));
    this.#write(tarHeader(entry));
  }

  data(bytes: Uint8Array): void {
    this.#content.update(bytes);
    this.#write(bytes);
  }

  pad(size: number): void {
    this.#write(tarPadding(size));
  }

  /** Hash of all entries so far, without times. */
  contentKey(): string {
    return this.#content.copy().digest("hex");
  }

  /** Writes a complete tar. */
  async writeTar(tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<BuiltLayer> {
    for await (const chunk of tar) {
      throwIfAborted(signal);
      this.#write(chunk);
      await this.#pause();
    }
    return this.#end();
  }

  finish(): BuiltLayer {
    this.#write(TAR_END);
    return this.#end();
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }

  #end(): BuiltLayer {
    this.#flush();
    ftruncateSync(this.#fd, this.#size);
    this[Symbol.dispose]();
    const diffId = `sha256:${this.#hash.digest("hex")}` as Digest;
    return { path: this.#path, diffId, size_bytes: this.#size };
  }

  #write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
    if (this.#size > LAYER_MAX_BYTES) {
      throw new BangerError(
        "limit_exceeded",
        `layer too large: one step wrote more than ${formatSize(LAYER_MAX_BYTES)}`,
      );
    }
    for (let from = 0; from < bytes.length; ) {
      const count = Math.min(bytes.length - from, BUFFER_BYTES - this.#fill);
      this.#buffer.set(bytes.subarray(from, from + count), this.#fill);
      this.#fill += count;
      from += count;
      if (this.#fill === BUFFER_BYTES) this.#flush();
    }
  }

  #flush(): void {
    const parts = nonZeroParts(this.#buffer, { length: this.#fill });
    if (parts.length > 0) assertRoom(this.#path, this.#fill, "Cannot save the changes of the step");
    for (const [start, end] of parts) {
      for (let at = start; at < end; )
        at += writeSync(this.#fd, this.#buffer, at, end - at, this.#flushed + at);
    }
    this.#flushed += this.#fill;
    this.#fill = 0;
  }
}
