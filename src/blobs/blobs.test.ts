import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hexOf, sha256 } from "#base/digest.ts";
import { MiB } from "#base/size.ts";
import { TransferError } from "#http/failure.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { BlobStore } from "./blobs.ts";
import type { BlobSource } from "./download.ts";

const BYTES = new Uint8Array(9 * MiB).map((_, index) => (index * 31 + (index >> 11)) & 0xff);
const BLOB = { digest: sha256(BYTES), size: BYTES.length };
const CHUNK_BYTES = 100_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-blobs-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Gives the bytes in chunks, and ends each attempt as `cuts` says. */
function sourceOf(bytes: Uint8Array, cuts: number[] = []): BlobSource & { offsets: number[] } {
  const offsets: number[] = [];
  return {
    offsets,
    async *getBlob(_, { offset, signal }) {
      offsets.push(offset);
      const cut = cuts.shift();
      const end = cut === undefined ? bytes.length : Math.min(bytes.length, offset + cut);
      for (let at = offset; at < end; at += CHUNK_BYTES) {
        await Bun.sleep(0);
        signal.throwIfAborted();
        yield bytes.subarray(at, Math.min(end, at + CHUNK_BYTES));
      }
      if (cut !== undefined) throw new TransferError("unavailable", "cut", { isTemporary: true });
    },
  };
}

function setUp(source: BlobSource, signal = new AbortController().signal) {
  const dir = mkdtempSync(join(folder, "cache-"));
  const store = new BlobStore(dir);
  const stream = () => store.stream(BLOB, { source, signal, retryDelay_ms: 1 });
  const files = () => readdirSync(join(dir, "sha256"));
  return { dir, store, stream, files, path: join(dir, "sha256", hexOf(BLOB.digest)) };
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream));
}

test("stream() gives the bytes, stores them, and then reads the store", async () => {
  const source = sourceOf(BYTES);
  const { stream, files, path, store } = setUp(source);
  expect((await readAll(stream())).equals(BYTES)).toBe(true);
  expect(files()).toEqual([hexOf(BLOB.digest)]);
  expect(readFileSync(path).equals(BYTES)).toBe(true);
  expect(await store.has(BLOB)).toBe(true);
  expect((await readAll(stream())).equals(BYTES)).toBe(true);
  expect(source.offsets).toEqual([0]);
});

test("stream() gives the first bytes before the last ones have come", async () => {
  const gate = Promise.withResolvers<void>();
  const inner = sourceOf(BYTES);
  const { stream } = setUp({
    async *getBlob(blob, options) {
      let count = 0;
      for await (const chunk of inner.getBlob(blob, options)) {
        if (count++ === 3) await gate.promise;
        yield chunk;
      }
    },
  });
  const chunks = stream();
  const { value } = await chunks.next();
  expect(value?.length).toBeGreaterThan(0);
  gate.resolve();
  const rest = await readAll(chunks);
  expect(Buffer.concat([value ?? new Uint8Array(), rest]).equals(BYTES)).toBe(true);
});

test("stream() lets a slow reader read what is no longer in memory", async () => {
  const source = sourceOf(BYTES);
  const { stream, path } = setUp(source);
  const slow = stream();
  const first = await slow.next();
  expect((await readAll(stream())).equals(BYTES)).toBe(true);
  expect(existsSync(path)).toBe(true);
  const rest = await readAll(slow);
  expect(Buffer.concat([first.value ?? new Uint8Array(), rest]).equals(BYTES)).toBe(true);
  expect(source.offsets).toEqual([0]);
});

test("stream() goes on after cuts from where it was", async () => {
  const source = sourceOf(BYTES, [3 * MiB, 0, 0, 1000, 2 * MiB]);
  const { stream } = setUp(source);
  expect((await readAll(stream())).equals(BYTES)).toBe(true);
  const end = 3 * MiB;
  expect(source.offsets).toEqual([0, end, end, end, end + 1000, end + 1000 + 2 * MiB]);
});

test("stream() gives up after some attempts that bring nothing", async () => {
  const source = sourceOf(
    BYTES,
    Array.from({ length: 100 }, () => 10),
  );
  const { stream } = setUp(source);
  expect((await bangerErrorOf(readAll(stream()))).code).toBe("unavailable");
  expect(source.offsets.length).toBeLessThanOrEqual(5);
});

test("stream() ends as integrity for too many, too few and wrong bytes, and stores nothing", async () => {
  const wrong = Buffer.from(BYTES);
  wrong[wrong.length - 1] = 1 ^ (wrong.at(-1) ?? 0);
  for (const bytes of [Buffer.concat([BYTES, Buffer.from("x")]), wrong]) {
    const { stream, files } = setUp(sourceOf(bytes));
    let size_bytes = 0;
    const reading = (async () => {
      for await (const chunk of stream()) size_bytes += chunk.length;
    })();
    expect((await bangerErrorOf(reading)).code).toBe("integrity");
    expect(size_bytes).toBeLessThanOrEqual(BLOB.size);
    expect(files()).toEqual([]);
  }
  const { stream } = setUp(sourceOf(BYTES.subarray(0, -1)));
  expect((await bangerErrorOf(readAll(stream()))).code).toBe("unavailable");
});

test("stream() stops the transfer when its last reader leaves, and resumes it for the next", async () => {
  const source = sourceOf(BYTES);
  const { stream, files, path } = setUp(source);
  let size_bytes = 0;
  for await (const chunk of stream()) {
    size_bytes += chunk.length;
    if (size_bytes > 4 * MiB) break;
  }
  expect((await readAll(stream())).equals(BYTES)).toBe(true);
  expect(source.offsets.length).toBe(2);
  expect(source.offsets[1]).toBeGreaterThan(4 * MiB);
  expect(files()).toEqual([hexOf(BLOB.digest)]);
  expect(existsSync(`${path}.partial`)).toBe(false);
});

test("stream() is cancelled by its signal", async () => {
  const controller = new AbortController();
  const { stream } = setUp(sourceOf(BYTES), controller.signal);
  const chunks = stream();
  await chunks.next();
  controller.abort();
  expect((await bangerErrorOf(readAll(chunks))).code).toBe("cancelled");
});

test("readBytes() gives small blobs that are whole, and removes one that is not", async () => {
  const { store, dir } = setUp(sourceOf(BYTES));
  const bytes = Buffer.from("small");
  const digest = store.writeBytes(bytes);
  expect(Buffer.from((await store.readBytes(digest, 100)) ?? []).toString()).toBe("small");
  expect(await store.readBytes(digest, 3)).toBeUndefined();
  expect(await store.readBytes(sha256("other"), 100)).toBeUndefined();
  const path = join(dir, "sha256", hexOf(digest));
  await Bun.write(path, "SMALL");
  expect(await store.readBytes(digest, 100)).toBeUndefined();
  expect(existsSync(path)).toBe(false);
});
