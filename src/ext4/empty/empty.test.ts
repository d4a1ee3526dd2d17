import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB, KiB, MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { EMPTY_MAX_BYTES, EMPTY_MIN_BYTES, formatEmpty } from "./empty.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-empty-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([EMPTY_MIN_BYTES, 128 * MiB, 128 * MiB + 64 * KiB, 10 * GiB, 4 * 1024 * GiB])(
  "a disk of %p bytes is sparse, has a journal and lost+found",
  async (size_bytes) => {
    const path = join(folder, `disk-${size_bytes}`);
    await formatEmpty(path, { size_bytes, seed: "x", label: "data" });
    using reader = openExt4(path);
    expect(reader.info).toMatchObject({ label: "data", hasJournal: true, needsRecovery: false });
    expect(reader.list("/").map((entry) => Buffer.from(entry.name).toString())).toEqual([
      "lost+found",
    ]);
    expect(reader.list("/lost+found")).toEqual([]);
    expect(reader.stat("/lost+found")).toMatchObject({ mode: 0o700, links: 2 });
    expect(reader.info.free_bytes / size_bytes).toBeGreaterThan(0.45);
    expect(statSync(path)).toMatchObject({ size: size_bytes });
    expect(statSync(path).blocks * 512).toBeLessThan(9 * MiB);
  },
);

test("the same seed gives the same bytes, another seed other ones", async () => {
  const [a, b, c] = await Promise.all(
    ["one", "one", "two"].map(async (seed, index) => {
      const path = join(folder, `seed-${index}`);
      await formatEmpty(path, { size_bytes: 8 * MiB, seed });
      return readFileSync(path);
    }),
  );
  expect(b?.equals(a ?? Buffer.alloc(0))).toBe(true);
  expect(c?.equals(a ?? Buffer.alloc(0))).toBe(false);
});

test("a file that exists, a folder that does not and impossible sizes are refused", async () => {
  const taken = join(folder, "taken");
  writeFileSync(taken, "mine");
  const size_bytes = 8 * MiB;
  const before = readdirSync(folder);
  expect((await bangerErrorOf(formatEmpty(taken, { size_bytes, seed: "x" }))).code).toBe(
    "already_exists",
  );
  expect(readFileSync(taken, "utf8")).toBe("mine");
  const nowhere = join(folder, "no/where");
  expect((await bangerErrorOf(formatEmpty(nowhere, { size_bytes, seed: "x" }))).code).toBe(
    "not_found",
  );
  for (const size of [
    0,
    -1,
    EMPTY_MIN_BYTES - 1,
    EMPTY_MAX_BYTES + 1,
    1.5 * EMPTY_MIN_BYTES + 0.5,
    Number.NaN,
  ]) {
    const error = await bangerErrorOf(
      formatEmpty(join(folder, "no"), { size_bytes: size, seed: "x" }),
    );
    expect(error.code).toBe("invalid_argument");
  }
  expect(readdirSync(folder)).toEqual(before);
});
