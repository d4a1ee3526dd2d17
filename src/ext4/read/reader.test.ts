import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import type { Attributes } from "#ext4/attributes.ts";
import { modes, roCompat, superblock } from "#ext4/format.ts";
import { ROOT_NODE } from "#ext4/write/tree.ts";
import { Ext4Writer } from "#ext4/write/writer.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { openExt4 } from "./reader.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let folder: string;
let image: Buffer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-reader-"));
  image = await smallImage();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const plain: Attributes = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
const name = (text: string) => Buffer.from(text);

/** Something for each parser: a hashed folder, an extent block, an attribute block, links, a device. */
async function smallImage(): Promise<Buffer> {
  const path = join(folder, "made");
  const fd = openSync(path, "w");
  const writer = new Ext4Writer(fd, { seed: "test" });
  const many = writer.createDirectory(ROOT_NODE, name("many"), plain);
  for (let index = 0; index < 250; index++)
    writer.createFifo(many, name(`a-long-name-${index}`), plain);
  const sparse = writer.createFile(ROOT_NODE, name("sparse"), { ...plain, size: 60_000 });
  for (let part = 0; part < 6; part++) {
    writer.hole(part * 9000);
    writer.write(name("part"));
  }
  writer.closeFile(sparse);
  const acl = Buffer.from("0200000001000600ffffffff04000400ffffffff20000000ffffffff", "hex");
  const xattrs = [
    { name: name("system.posix_acl_access"), value: acl },
    { name: name("user.large"), value: new Uint8Array(500) },
  ];
  writer.createSymlink(ROOT_NODE, name("long"), {
    ...plain,
    xattrs,
    target: Buffer.alloc(100, "many/../"),
  });
  writer.createSymlink(ROOT_NODE, name("short"), { ...plain, target: name("many") });
  writer.createDevice(ROOT_NODE, name("device"), { ...plain, type: "block", major: 8, minor: 1 });
  await writer.finish();
  closeSync(fd);
  return readFileSync(path);
}

/** Reads what can be reached, at most `max` files. */
function readAll(bytes: Uint8Array, max = 60): void {
  const path = join(folder, "image");
  writeFileSync(path, bytes);
  using reader = openExt4(path);
  const queue = ["/", "/short/a-long-name-7"];
  for (let count = 0; count < max; count++) {
    const at = queue.pop();
    if (at === undefined) return;
    const stat = reader.stat(at);
    reader.xattrs(stat);
    if (stat.type === modes.DIRECTORY) {
      for (const entry of reader.list(at)) queue.push(`${at}/${Buffer.from(entry.name)}`);
    } else if (stat.type === modes.REGULAR) reader.readFile(at);
    else if (stat.type === modes.SYMLINK) reader.targetOf(stat);
  }
}

test("reads a whole image, through symbolic links too", () => {
  readAll(image, 1000);
  using reader = openExt4(join(folder, "image"));
  expect(reader.stat("short/a-long-name-7").type).toBe(modes.FIFO);
  expect(reader.stat("many/../device")).toMatchObject({ type: modes.BLOCK, major: 8, minor: 1 });
  expect(reader.list("many")).toHaveLength(250);
  for (const absent of ["none", "many/none", "device/x", "short/x"]) {
    expect(() => reader.stat(absent)).toThrow(/no such file/);
  }
  expect(() => reader.readFile("sparse", 100)).toThrow(/60000 bytes/);
});

test("what is no ext4 is refused, and so is a file that does not exist", () => {
  for (const bytes of [new Uint8Array(), new Uint8Array(5000), image.subarray(0, 100_000)]) {
    expect(() => readAll(bytes)).toThrow(BangerError);
  }
  expect(() => openExt4(join(folder, "nothing"))).toThrow(/nothing/);
});

test("a changed byte in the metadata is noticed", () => {
  const inodeTable = image.indexOf("many") < 0 ? 0 : image.readUInt32LE(4096 + 8) * 4096;
  for (const at of [
    superblock.OFFSET + 100,
    4096 + 8,
    inodeTable + 256 + 8,
    inodeTable + 11 * 256,
  ]) {
    const copy = Buffer.from(image);
    copy[at] = (copy[at] ?? 0) ^ 0x40;
    expect(() => readAll(copy, 1000)).toThrow(BangerError);
  }
});

test("a damaged image makes nothing worse than an error, checksums or not", () => {
  const bare = Buffer.from(image);
  const features = superblock.OFFSET + superblock.FEATURE_RO_COMPAT;
  bare.writeUInt32LE(bare.readUInt32LE(features) & ~roCompat.METADATA_CSUM, features);
  const data = 4096 * 3;
  const place = fc.oneof(
    fc.integer({ min: superblock.OFFSET, max: superblock.OFFSET + 400 }),
    fc.integer({ min: 4096, max: 4096 + 64 }),
    fc.integer({ min: data, max: image.length - 1 }),
    fc.integer({ min: image.readUInt32LE(4096 + 8) * 4096, max: image.length - 1 }),
  );
  const change = fc.tuple(place, fc.oneof(fc.constantFrom(0, 1, 255, 128), fc.nat(255)));
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      (changes, isBare) => {
        const copy = Buffer.from(isBare ? bare : image);
        for (const [at, value] of changes) copy[at] = value;
        try {
          readAll(copy);
        } catch (error) {
          expect(error).toBeInstanceOf(BangerError);
        }
      },
    ),
    { numRuns: 300 },
  );
});
