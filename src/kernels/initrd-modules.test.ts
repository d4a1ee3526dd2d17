import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { buildCpio } from "#guest/initrd.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { unpackInitrdModules } from "./initrd-modules.ts";

const MODULE = "usr/lib/modules/6.1.0/kernel/drivers/virtio.ko.xz";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-initrd-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function unpack(bytes: Uint8Array): Promise<string[]> {
  const target = join(folder, "out");
  writeFileSync(join(folder, "initrd"), bytes);
  await unpackInitrdModules(join(folder, "initrd"), { target });
  try {
    return (readdirSync(target, { recursive: true }) as string[]).filter((name) =>
      /\.\w+$/.test(name),
    );
  } catch {
    return [];
  }
}

const main = buildCpio([
  { path: "init", data: Buffer.from("x") },
  { path: MODULE, data: Buffer.from("module") },
  { path: "usr/lib/modules/6.1.0/modules.builtin", data: Buffer.from("kernel/a.ko\n") },
  { path: "usr/lib/modules/6.1.0/kernel/../../../../escape.ko", data: Buffer.from("no") },
]);
const early = buildCpio([{ path: "kernel/x86/microcode/a.bin", data: Buffer.alloc(5) }]);

test("modules are found plain, behind microcode, and in each compression", async () => {
  const found = ["6.1.0", "6.1.0/kernel/drivers/virtio.ko.xz", "6.1.0/modules.builtin"];
  const pad = Buffer.alloc(512);
  const compressed = [main, gzipSync(main), zstdCompressSync(main)];
  for (const rest of compressed) {
    expect((await unpack(Buffer.concat([early, pad, rest]))).toSorted()).toEqual(found);
    const path = join(folder, "out/6.1.0/kernel/drivers/virtio.ko.xz");
    expect(readFileSync(path, "utf8")).toBe("module");
    rmSync(join(folder, "out"), { recursive: true });
  }
  expect(await unpack(early)).toEqual([]);
});

test("what is damaged, or compressed in a way that is not known, is refused", async () => {
  expect((await bangerErrorOf(unpack(gzipSync(main).subarray(0, 60)))).code).toBe("integrity");
  expect((await bangerErrorOf(unpack(main.subarray(0, main.length - 120)))).code).toBe("integrity");
  expect((await bangerErrorOf(unpack(Buffer.from("BZh91AY&SY")))).code).toBe("unsupported");
});

test("any bytes give modules or one of our errors, and nothing outside of the target", async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc
      .tuple(fc.nat(main.length - 1), fc.nat(255))
      .map(([at, byte]) =>
        Buffer.concat([main.subarray(0, at), Buffer.from([byte]), main.subarray(at + 1)]),
      ),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (input) => {
      try {
        await unpack(input);
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
      expect(readdirSync(folder).filter((name) => name !== "out" && name !== "initrd")).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
