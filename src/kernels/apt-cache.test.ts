import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "#base/digest.ts";
import { type AptPackage, aptStamp, readAptCache, writeAptCache } from "./apt-cache.ts";

let folder: string;
let previous: string | undefined;

/** apt-config reads its configuration from the file that APT_CONFIG names. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-apt-"));
  for (const name of ["lists", "sources", "cache"]) mkdirSync(join(folder, name));
  const places = { "State::lists": "lists/", "Etc::sourceparts": "sources/" };
  const lines = Object.entries(places).map(
    ([key, place]) => `Dir::${key} "${join(folder, place)}";`,
  );
  writeFileSync(join(folder, "apt.conf"), lines.join("\n"));
  previous = process.env["APT_CONFIG"];
  process.env["APT_CONFIG"] = join(folder, "apt.conf");
});

afterEach(() => {
  if (previous === undefined) delete process.env["APT_CONFIG"];
  else process.env["APT_CONFIG"] = previous;
  rmSync(folder, { recursive: true, force: true });
});

const linux: AptPackage = {
  name: "linux-image-6.12",
  version: "6.12.1-1",
  arch: "amd64",
  file: "linux-image-6.12_6.12.1-1_amd64.deb",
  size_bytes: 10,
  sha256: `sha256:${"1".repeat(64)}` as Digest,
};

test("an answer counts until apt's lists or sources change, and adds to those of the same lists", async () => {
  const cache = join(folder, "cache/kernels");
  expect(await readAptCache(cache)).toBeUndefined();
  await writeAptCache(cache, new Map([["a:amd64", linux]]), await aptStamp());
  await writeAptCache(cache, new Map([["b:amd64", null]]), await aptStamp());
  const known = await readAptCache(cache);
  expect(known).toEqual({
    packages: new Map([
      ["a:amd64", linux],
      ["b:amd64", null],
    ]),
    isCurrent: true,
  });
  const source = join(folder, "sources/x.list");
  writeFileSync(source, "");
  expect((await readAptCache(cache))?.isCurrent).toBe(false);
  await writeAptCache(cache, new Map([["b:amd64", linux]]), await aptStamp());
  expect((await readAptCache(cache))?.packages).toEqual(new Map([["b:amd64", linux]]));
  utimesSync(source, 1, 4_000_000_000);
  expect((await readAptCache(cache))?.isCurrent).toBe(false);
  writeFileSync(join(folder, "lists/x_Packages"), "");
  expect((await readAptCache(cache))?.isCurrent).toBe(false);
});

test("what cannot be read is not known", async () => {
  const cache = join(folder, "cache");
  for (const text of ["", "{}", '{"schema":1,"stamp":"x","packages":{"a":{"name":"x"}}}']) {
    writeFileSync(join(cache, "apt-packages.json"), text);
    expect(await readAptCache(cache)).toBeUndefined();
  }
});
