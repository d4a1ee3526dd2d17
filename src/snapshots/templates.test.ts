/** Templates as files: made once, found while they are whole, removed when there are too many. */
import { afterEach, beforeEach, expect, setSystemTime, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TemplateFiles, Templates } from "./templates.ts";

const SIZE_BYTES = 64 * 1024;

let folder: string;
let templates: Templates;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-templates-"));
  templates = new Templates(folder, 3 * SIZE_BYTES);
});

afterEach(() => void setSystemTime());
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function fill(files: TemplateFiles): Promise<void> {
  writeFileSync(files.memory, Buffer.alloc(SIZE_BYTES, 1));
  for (const path of [files.state, files.disk, files.initrd]) writeFileSync(path, path);
}

const make = (key: string) => templates.ensure(key, "image", fill);

test("two who ask for one at once have it made once", async () => {
  let count = 0;
  const counting = async (files: TemplateFiles) => {
    count++;
    await Bun.sleep(10);
    await fill(files);
  };
  const all = await Promise.all([1, 2, 3].map(() => templates.ensure("a", "image", counting)));
  expect(count).toBe(1);
  expect(new Set(all.map((files) => files?.memory))).toEqual(new Set([join(folder, "a/memory")]));
  expect(new Templates(folder, SIZE_BYTES).find("a")).toEqual(templates.find("a"));
});

test("one that cannot be made is not tried again, unless that says nothing of it", async () => {
  const failing = async (files: TemplateFiles) => {
    writeFileSync(files.memory, "half");
    throw new Error("no");
  };
  await expect(templates.ensure("a", "image", failing)).rejects.toThrow("no");
  expect(readdirSync(folder)).toEqual([]);
  expect(await make("a")).toBeUndefined();
  templates.retry("a");
  expect(await make("a")).toBeDefined();
});

test("whoever waits for another's can give up, and the other goes on", async () => {
  const begun = Promise.withResolvers<void>();
  const first = templates.ensure("a", "image", async (files) => {
    await begun.promise;
    await fill(files);
  });
  const wish = new AbortController();
  let waits = 0;
  const options = { signal: wish.signal, onWait: () => waits++ };
  const second = templates.ensure("a", "image", fill, options);
  wish.abort();
  await expect(second).rejects.toMatchObject({ code: "cancelled" });
  expect(waits).toBe(1);
  begun.resolve();
  expect(await first).toBeDefined();
});

test("the error of one that nobody had asked for is given to the first who does", async () => {
  let awaited = 0;
  const begun = Promise.withResolvers<void>();
  const failing = async () => {
    await begun.promise;
    throw new Error("no");
  };
  const options = { isInAdvance: true, onAwaited: () => awaited++ };
  const made = templates.ensure("a", "image", failing, options);
  const waiting = make("a");
  expect(awaited).toBe(1);
  begun.resolve();
  const outcomes = await Promise.allSettled([made, waiting]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await make("a")).toBeUndefined();
  // Ended for want of room, it says nothing of the next try.
  await expect(templates.ensure("b", "image", failing, options)).rejects.toThrow("no");
  templates.retry("b");
  expect(await make("b")).toBeDefined();
});

test("where another process has made one meanwhile, that is taken", async () => {
  const files = await templates.ensure("a", "image", async (own) => {
    await new Templates(folder, 3 * SIZE_BYTES).ensure("a", "image", fill);
    await fill(own);
  });
  expect(files?.memory).toBe(join(folder, "a/memory"));
  expect(readdirSync(folder)).toEqual(["a"]);
});

test("after the disk was full one is made again in ten minutes, after another failure not", async () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
  });
  for (const [name, failure] of [
    ["full", full],
    ["no", new Error("no")],
  ] as const) {
    setSystemTime();
    await expect(templates.ensure(name, "image", () => Promise.reject(failure))).rejects.toBe(
      failure,
    );
    expect(await templates.ensure(name, "image", fill)).toBeUndefined();
    setSystemTime(Date.now() + 11 * 60_000);
    expect((await templates.ensure(name, "image", fill)) !== undefined).toBe(name === "full");
  }
});

test("one that is over the limit by itself is made once, and said to be", async () => {
  const small = new Templates(folder, SIZE_BYTES / 2);
  await expect(small.ensure("a", "image", fill)).rejects.toThrow("over vm.templates_max (32 KiB)");
  expect(readdirSync(folder)).toEqual([]);
  let count = 0;
  expect(await small.ensure("a", "image", async () => void count++)).toBeUndefined();
  expect(count).toBe(0);
});

const damages: Record<string, (files: TemplateFiles) => void> = {
  "other memory": ({ memory }) => appendFileSync(memory, "more"),
  "memory that is written to": ({ memory }) => utimesSync(memory, 1, 1),
  "no disk": ({ disk }) => rmSync(disk),
  "other state": ({ state }) => writeFileSync(state, "other"),
  "no initrd": ({ initrd }) => rmSync(initrd),
  "a record of nothing": ({ memory }) => writeFileSync(join(memory, "../template.json"), "{}"),
};

test.each(Object.keys(damages))("with %s it is none, and removed", async (name) => {
  const files = await make("a");
  if (files) damages[name]?.(files);
  expect(templates.find("a")).toBeUndefined();
  expect(existsSync(join(folder, "a"))).toBe(false);
});

test("those that were used last stay", async () => {
  await make("a");
  await make("b");
  const early = new Date(Date.now() - 60_000);
  for (const name of readdirSync(join(folder, "b")))
    utimesSync(join(folder, "b", name), early, early);
  templates.find("a");
  await make("c");
  expect(readdirSync(folder).sort()).toEqual(["a", "c"]);
  mkdirSync(join(folder, ".staging-d-00000000"));
  expect(templates.collect({ all: true, dryRun: true })).toMatchObject({ count: 2 });
  expect(templates.usage().count).toBe(2);
  expect(templates.collect({ all: true }).count).toBe(2);
  expect(readdirSync(folder)).toEqual([]);
});
