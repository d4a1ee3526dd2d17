import { describe, expect, test } from "bun:test";
import { type TreeEntry, TYPE_FILE, TYPE_SYMLINK } from "#base/files/tree-records.ts";
import { signatureOf } from "#workspace/record.ts";
import { compare, type Direction } from "./compare.ts";

/** A file by its content: its time stands for it. "x" is executable, "@target" a symlink. */
function fileOf(name: string, text: string): TreeEntry {
  const common = { name, size: text.length, mtime_s: Bun.hash.crc32(text), mtime_ns: 0 };
  if (text.startsWith("@")) return { ...common, mode: TYPE_SYMLINK | 0o777, target: text.slice(1) };
  return { ...common, mode: TYPE_FILE | (text.endsWith("x") ? 0o755 : 0o644), target: undefined };
}

type Texts = Record<string, string>;

function run(
  { host = {}, guest = {}, base = {} }: { host?: Texts; guest?: Texts; base?: Texts },
  direction: Direction = "both",
  hidden: string[] = [],
): string[] {
  const files = (texts: Texts) =>
    new Map(Object.entries(texts).map(([name, text]) => [name, fileOf(name, text)]));
  const equal = [...files(base)].map(([name, entry]) => {
    const signature = signatureOf(entry);
    return [name, { host: signature, guest: signature }] as const;
  });
  const states = {
    ...{ host: files(host), guest: files(guest), base: new Map(equal) },
    hidden: new Set(hidden),
  };
  const { steps, equal: same, gone, spared } = compare(states, direction);
  return [
    ...steps.map((step) => `${step.kind} ${step.name}${"as" in step ? ` as ${step.as}` : ""}`),
    ...same.map((name) => `equal ${name}`),
    ...gone.map((name) => `gone ${name}`),
    ...spared.map((name) => `spared ${name}`),
  ].toSorted();
}

const one = (host: string, guest: string, base: string) => {
  const texts = (text: string): Texts => (text === "" ? {} : { f: text });
  return { host: texts(host), guest: texts(guest), base: texts(base) };
};

describe("one file, of which the host, the machine and the last equal state are known", () => {
  test.each([
    // host, machine, equal; both ways, to the machine, from it
    ["", "", "a", "gone f", "gone f", "gone f"],
    ["a", "a", "a", "equal f", "equal f", "equal f"],
    ["a", "a", "", "equal f", "equal f", "equal f"],
    ["b", "b", "a", "equal f", "equal f", "equal f"],
    ["a", "", "", "send f", "send f", ""],
    ["", "a", "", "fetch f", "", "fetch f"],
    ["b", "a", "a", "send f", "send f", ""],
    ["a", "b", "a", "fetch f", "", "fetch f"],
    ["", "a", "a", "remove-guest f", "remove-guest f", ""],
    ["a", "", "a", "remove-host f", "", "remove-host f"],
    [
      "b",
      "c",
      "a",
      "keep-guest f as f.conflict-vm",
      "keep-guest f as f.conflict-vm",
      "keep-host f as f.conflict-host",
    ],
    [
      "b",
      "c",
      "",
      "keep-guest f as f.conflict-vm",
      "keep-guest f as f.conflict-vm",
      "keep-host f as f.conflict-host",
    ],
    // A deletion never wins over a change.
    ["b", "", "a", "send f", "send f", "spared f"],
    ["", "b", "a", "fetch f", "spared f", "fetch f"],
    // The mode and what a symlink points to are changes as well.
    ["ax", "a", "a", "send f", "send f", ""],
    ["@x", "a", "a", "send f", "send f", ""],
    ["@x", "@y", "@x", "fetch f", "", "fetch f"],
    ["@x", "@x", "@y", "equal f", "equal f", "equal f"],
  ])("%p on the host, %p in the machine, %p before", (host, guest, base, both, to, from) => {
    const states = one(host, guest, base);
    expect(run(states).join()).toBe(both);
    expect(run(states, "to-vm").join()).toBe(to);
    expect(run(states, "from-vm").join()).toBe(from);
  });
});

test("a name that exists is not taken for what is kept", () => {
  const states = one("b", "c", "a");
  states.host["f.conflict-vm"] = "mine";
  states.guest["f.conflict-vm"] = "mine";
  expect(run(states)).toEqual(["equal f.conflict-vm", "keep-guest f as f.conflict-vm-2"]);
});

test("hidden names are left alone, whatever they are", () => {
  const states = { host: { a: "1" }, guest: { b: "2", c: "3" }, base: { c: "4", d: "5" } };
  expect(run(states, "both", ["a", "b", "c", "d"])).toEqual([]);
});

describe("a file where the other side has a directory", () => {
  test("of both sides the machine's is kept under another name", () => {
    expect(run({ host: { p: "file" }, guest: { "p/a": "1", "p/b/c": "2" } })).toEqual([
      "keep-guest p/a as p.conflict-vm/a",
      "keep-guest p/b/c as p.conflict-vm/b/c",
      "send p",
    ]);
    expect(run({ host: { "p/a": "1" }, guest: { p: "file" } })).toEqual([
      "keep-guest p as p.conflict-vm",
      "send p/a",
    ]);
  });

  test("is no conflict if one side has replaced it", () => {
    expect(run({ host: { "p/a": "1" }, guest: { p: "file" }, base: { p: "file" } })).toEqual([
      "remove-guest p",
      "send p/a",
    ]);
    expect(run({ host: { "p/a": "1" }, guest: { p: "file" }, base: { "p/a": "1" } })).toEqual([
      "fetch p",
      "remove-host p/a",
    ]);
  });

  test("of one side only what is written is in the way of anything", () => {
    const states = { host: { p: "file" }, guest: { "p/a": "1" } };
    expect(run(states, "from-vm")).toEqual(["fetch p/a", "keep-host p as p.conflict-host"]);
    expect(run(states, "to-vm")).toEqual(["keep-guest p/a as p.conflict-vm/a", "send p"]);
    expect(run({ ...states, base: { p: "file" } }, "to-vm")).toEqual([]);
  });
});

test("a rename is a new file and one that is gone", () => {
  const states = { host: { new: "a" }, guest: { old: "a" }, base: { old: "a" } };
  expect(run(states)).toEqual(["remove-guest old", "send new"]);
});
