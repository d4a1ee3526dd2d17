/** Debian packages without compression: as they are, and damaged in any way. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { file, makeTar } from "#test/tar-build.ts";
import { unpackDeb } from "./deb.ts";

const CONTROL = "Package: one\nVersion: 1\n";
const control = makeTar([file("./control", CONTROL), file("./md5sums", "no\n")]);
const data = makeTar([file("./usr/one", Buffer.alloc(5001, "one"))]);
const signal = new AbortController().signal;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-deb-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function archive(members: [name: string, bytes: Uint8Array][]): Buffer {
  const parts: Uint8Array[] = [Buffer.from("!<arch>\n")];
  for (const [name, bytes] of members) {
    const numbers = `${"1700000000".padEnd(12)}0     0     100644  ${String(bytes.length).padEnd(10)}`;
    parts.push(Buffer.from(`${name.padEnd(16)}${numbers}\`\n`), bytes);
    if (bytes.length % 2 === 1) parts.push(Buffer.from("\n"));
  }
  return Buffer.concat(parts);
}

async function unpack(bytes: Uint8Array) {
  const [from, to] = [join(folder, "from.deb"), join(folder, "to.deb")];
  writeFileSync(from, bytes);
  rmSync(to, { force: true });
  const { stanza, size, sha256 } = await unpackDeb(from, to, signal);
  const written = readFileSync(to);
  expect(size).toBe(written.length);
  expect(sha256).toBe(new Bun.CryptoHasher("sha256").update(written).digest("hex"));
  return { stanza, written };
}

const VERSION: [string, Uint8Array] = ["debian-binary", Buffer.from("2.0\n")];
const GOOD = archive([
  VERSION,
  ["control.tar.zst", zstdCompressSync(control)],
  ["data.tar.gz", gzipSync(data)],
]);

test("the members are the same, but for their compression", async () => {
  const { stanza, written } = await unpack(GOOD);
  expect(stanza).toBe(CONTROL.trim());
  const plain = archive([VERSION, ["control.tar", control], ["data.tar", data]]);
  const timeless = Buffer.from(
    plain.toString("latin1").replaceAll("1700000000", "0         "),
    "latin1",
  );
  expect(written.equals(timeless)).toBe(true);
  expect((await unpack(written)).written.equals(written)).toBe(true);
});

const bad: [what: string, bytes: Buffer][] = [
  ["has no control file", archive([VERSION, ["data.tar", data]])],
  ["has an unknown member", archive([VERSION, ["control.tar.rar", control]])],
  [
    "has two stanzas",
    archive([["control.tar", makeTar([file("control", `${CONTROL}\n${CONTROL}`)])]]),
  ],
  ["has a broken gzip stream", archive([["control.tar.gz", Buffer.from("no")]])],
  ["ends early", GOOD.subarray(0, GOOD.length - 20)],
  ["is something else", Buffer.from("!<thin>\n")],
];
for (const [what, bytes] of bad) {
  test(`one that ${what} is refused`, async () => {
    expect((await bangerErrorOf(unpack(bytes))).code).toBe("integrity");
  });
}

test("damage of any kind is an error of ours, or does no harm", async () => {
  const plain = archive([VERSION, ["control.tar", control], ["data.tar", data]]);
  const place = fc.nat({ max: plain.length - 1 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(place, fc.nat({ max: 255 })), { maxLength: 4 }),
      async (changes) => {
        const bytes = Buffer.from(plain);
        for (const [at, value] of changes) bytes[at] = value;
        await unpack(bytes).catch((error: unknown) => {
          if (!(error instanceof BangerError)) throw error;
        });
      },
    ),
    { numRuns: 200 },
  );
});
