import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gunzipSync, gzipSync, type ZlibOptions } from "node:zlib";
import { runOk } from "#base/run.ts";
import { KiB } from "#base/size.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type Inflater, startInflater } from "./inflate-process.ts";

/** So small that every file goes around them many times. */
const SMALL = { input: 4 * KiB, output: 72 * KiB };

async function* inPieces(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function start(sizes?: typeof SMALL): Promise<Inflater> {
  const inflater = await startInflater(sizes);
  if (!inflater) throw new Error("the decompressor does not start");
  return inflater;
}

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Uint8Array[] = [];
  for await (const chunk of chunks) copies.push(chunk.slice());
  return Buffer.concat(copies);
}

/** Whether a process is there, and no zombie. */
function isThere(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** The same numbers each time. */
function noise(length: number, kinds: number): Buffer {
  let state = 12345;
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    bytes[at] = (state >> 16) % kinds;
  }
  return bytes;
}

test("inflate/messages.h is up to date with scripts/protocol-header.ts", async () => {
  const root = join(import.meta.dir, "../../..");
  const script = join(root, "scripts/protocol-header.ts");
  const header = readFileSync(join(root, "inflate/messages.h"), "utf8");
  expect(await runOk([process.execPath, script, "--print", "inflate/messages.h"])).toBe(header);
});

describe("what zlib makes", () => {
  const contents: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    "one byte": Buffer.from("a"),
    zeros: Buffer.alloc(1_000_000),
    "one pattern": Buffer.from("abcde".repeat(60_000)),
    "few kinds of bytes": noise(300_000, 5),
    "all kinds of bytes": noise(300_000, 256),
    text: Buffer.concat(Array(20).fill(readFileSync(import.meta.path))),
    program: readFileSync(process.execPath).subarray(0, 2_000_000),
  };
  const { Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants;
  const ways: Record<string, ZlibOptions> = {
    stored: { level: 0 },
    fast: { level: 1 },
    default: {},
    best: { level: 9, memLevel: 9 },
    "in small blocks": { memLevel: 1 },
    "with a small window": { windowBits: 9 },
    "with fixed codes": { strategy: Z_FIXED },
    "without matches": { strategy: Z_HUFFMAN_ONLY },
    "in runs": { strategy: Z_RLE },
  };
  let inflater: Inflater;
  beforeAll(async () => {
    inflater = await start(SMALL);
  });
  afterAll(async () => await inflater[Symbol.asyncDispose]());

  for (const [way, options] of Object.entries(ways)) {
    test.each(Object.keys(contents))(`${way}: %s`, async (name) => {
      const content = contents[name] ?? Buffer.alloc(0);
      const file = gzipSync(content, options);
      const pieces = inPieces(file, file.length > 10_000 ? 1_777 : 3);
      const read = await readAll(inflater.inflate(pieces, "it"));
      expect(read.equals(content)).toBe(true);
    });
  }
});

test("a header with every field, members in a row, and zeros at the end", async () => {
  await using inflater = await start();
  const plain = gzipSync("the first");
  const flags = Buffer.from([0x1f, 0x8b, 8, 0b11110, 0, 0, 0, 0, 0, 3]);
  const fields = Buffer.from("\x03\x00ext" + "name\0" + "comment\0" + "\x12\x34", "latin1");
  const dressed = Buffer.concat([flags, fields, plain.subarray(10)]);
  const file = Buffer.concat([dressed, gzipSync(""), gzipSync(", the last"), Buffer.alloc(700)]);
  for (const size of [1, 5, file.length]) {
    const read = await readAll(inflater.inflate(inPieces(file, size), "it"));
    expect(read.toString()).toBe("the first, the last");
  }
});

test("what is damaged or cut off is told of, and never taken for something else", async () => {
  const content = readFileSync(import.meta.path);
  const file = gzipSync(content);
  let state = 7;
  for (let round = 0; round < 60; round++) {
    state = (state * 48271) % 2147483647;
    const bad = Buffer.from(file);
    // The last eight bytes are a CRC, which is not compared, and the length.
    const at = state % (file.length - 8);
    bad[at] = (bad[at] ?? 0) ^ (1 << (state % 7));
    const given = round % 3 === 0 ? bad.subarray(0, at) : bad;
    let expected: Buffer | undefined;
    try {
      expected = gunzipSync(given);
    } catch {
      expected = undefined;
    }
    await using inflater = await start(SMALL);
    const read = readAll(inflater.inflate(inPieces(given, 999), "layer X"));
    if (expected) expect((await read).equals(expected)).toBe(true);
    else {
      const outcome = await read.catch((error) => error);
      // What only the CRC shows is found by the digest of the whole.
      if (outcome instanceof Buffer) expect(outcome.length).toBe(content.length);
      else expect(outcome.message).toStartWith("Cannot unpack layer X: corrupt compressed data: ");
    }
  }
});

test("a wrong length in the trailer, and something behind it, are damage", async () => {
  const file = gzipSync("content");
  const wrong = Buffer.from(file);
  wrong.writeUInt32LE(8, file.length - 4);
  for (const bad of [wrong, Buffer.concat([file, Buffer.from("more")])]) {
    await using inflater = await start();
    const error = await bangerErrorOf(readAll(inflater.inflate(inPieces(bad), "it")));
    expect(error.code).toBe("integrity");
  }
});

test("the process can read and write what it has, and no more", async () => {
  await using inflater = await start();
  const status = readFileSync(`/proc/${inflater.pid}/status`, "utf8");
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  expect(status).toMatch(/^Seccomp:\s+2$/m);
});

test("who stops reading ends it, and its source", async () => {
  await using inflater = await start(SMALL);
  let isLeft = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (const member = gzipSync(Buffer.alloc(500_000)); ; ) yield member;
    } finally {
      isLeft = true;
    }
  }
  for await (const _ of inflater.inflate(endless(), "it")) break;
  expect(isLeft).toBe(true);
  await inflater[Symbol.asyncDispose]();
  expect(isThere(inflater.pid)).toBe(false);
});

test("a failure of the source is what the reader gets", async () => {
  await using inflater = await start();
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gzipSync("content").subarray(0, 12);
    throw new Error("the network is gone");
  }
  await expect(readAll(inflater.inflate(failing(), "it"))).rejects.toThrow("the network is gone");
});

test("one that is killed is told of, whatever was under way", async () => {
  const file = gzipSync(noise(3_000_000, 7));
  await using inflater = await start(SMALL);
  let seen = 0;
  const reading = (async () => {
    for await (const chunk of inflater.inflate(inPieces(file, 5_000), "layer X")) {
      seen += chunk.length;
      if (seen > 200_000) process.kill(inflater.pid, "SIGKILL");
    }
  })();
  const error = await bangerErrorOf(reading);
  expect([error.code, error.message]).toEqual([
    "internal",
    "Cannot unpack layer X: banger-inflate exited unexpectedly: killed by SIGKILL",
  ]);
  expect(seen).toBeLessThan(3_000_000);
});

test("where it cannot have its memory it does not start, and nothing is left of it", async () => {
  expect(await startInflater({ input: 4 * KiB, output: 64 * KiB })).toBeUndefined();
});
