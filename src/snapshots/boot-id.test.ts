import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forgetBootId, parseBootId } from "./boot-id.ts";

const ID = "845893b1-8908-4625-8486-176ec2a748f8";
const BYTES = Buffer.from(ID.replaceAll("-", ""), "hex");
const TEXT = `${ID}
00000000-00000fff : Reserved
00100000-bfffffff : System RAM
  00001000-00001fff : Kernel code
  00002000-00002fff : Kernel data
  00004000-00004fff : Kernel bss
`;

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-boot-id-"));
  path = join(folder, "memory");
});

afterEach(() => rmSync(folder, { recursive: true }));

/** A memory with the ID at these places. */
function write(...places: number[]): Buffer {
  const memory = Buffer.alloc(0x6000, 0x5a);
  for (const place of places) BYTES.copy(memory, place);
  writeFileSync(path, memory);
  return memory;
}

test("the ID is taken from the kernel's data, and from nowhere else", async () => {
  for (const place of [0x2000, 0x2123, 0x2ff0, 0x4ff0]) {
    const memory = write(0x1000, place, 0x3000, 0x5800);
    expect(await forgetBootId(path, parseBootId(TEXT))).toBe(true);
    expect(readFileSync(path).equals(memory.fill(0, place, place + 16))).toBe(true);
  }
});

test("nothing is changed where it is not there, or in two places", async () => {
  for (const places of [[], [0x1000], [0x2ff8], [0x2000, 0x2010], [0x2000, 0x4000]]) {
    const memory = write(...places);
    expect(await forgetBootId(path, parseBootId(TEXT))).toBe(false);
    expect(readFileSync(path).equals(memory)).toBe(true);
  }
});

test("what a hostile guest sends instead of a memory map is refused", () => {
  for (const text of [
    "",
    ID,
    TEXT.replace(ID, "no"),
    TEXT.replace("00002fff : Kernel data", "7fffffff : Kernel data"),
    TEXT.replace("00002000-00002fff", "00002fff-00002000"),
  ]) {
    if (text === ID) expect(parseBootId(text).ranges).toEqual([]);
    else expect(() => parseBootId(text)).toThrow("invalid boot ID");
  }
});
