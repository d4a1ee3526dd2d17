import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  assertSameKind,
  discardSaved,
  isSaved,
  isToWakeAgain,
  readSaved,
  saveMachine,
} from "./saved.ts";
import { UnusableMemory } from "./unusable.ts";

const KIND = { vmm: "qemu 7.2", kernel: "debian-6.12 sha256:a", image: "img1 sha256:b" };

let home: string;
let place: { folder: string; disk: string };

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "banger-saved-"));
  place = { folder: join(home, "suspended"), disk: join(home, "disk.ext4") };
  writeFileSync(place.disk, "disk");
});

afterEach(() => rmSync(home, { recursive: true }));

async function save(): Promise<void> {
  await saveMachine(place, KIND, async ({ memoryPath, statePath }) => {
    writeFileSync(memoryPath, "memory");
    writeFileSync(statePath, "state");
  });
}

test("a machine that was saved is read again, and gone when it is discarded", async () => {
  expect(isSaved(place)).toBe(false);
  await save();
  expect(readSaved(place)).toEqual({
    kind: KIND,
    files: { memoryPath: join(place.folder, "memory"), statePath: join(place.folder, "state") },
  });
  mkdirSync(join(home, ".staging-suspended-1234"));
  discardSaved(place.folder);
  discardSaved(place.folder);
  expect(readdirSync(home)).toEqual(["disk.ext4"]);
  expect(() => readSaved(place)).toThrow("its suspended memory is missing or incomplete");
});

test("memory is of use only as it was written, and with the disk as it was", async () => {
  const damages: [string, () => void][] = [
    ["its disk has changed since", () => appendFileSync(place.disk, "more")],
    ["its disk has changed since", () => utimesSync(place.disk, 1, 1)],
    ["its memory is damaged", () => truncateSync(join(place.folder, "memory"), 1)],
    ["its memory is damaged", () => rmSync(join(place.folder, "memory"))],
    ["its state is damaged", () => writeFileSync(join(place.folder, "state"), "State")],
    ["missing or incomplete", () => writeFileSync(join(place.folder, "suspend.json"), "{}")],
  ];
  for (const [message, damage] of damages) {
    await save();
    damage();
    expect(() => readSaved(place)).toThrow(UnusableMemory);
    expect(() => readSaved(place)).toThrow(message);
    expect(isSaved(place)).toBe(false);
  }
});

test("one that was ended while it woke is woken again, unless it wrote to its disk or ended itself", async () => {
  await save();
  const paths = { suspended: place.folder, disk: place.disk };
  const killed = { kind: "killed" } as const;
  expect(isToWakeAgain({ state: "waking" }, killed, paths)).toBe(true);
  expect(isToWakeAgain({ state: "running" }, killed, paths)).toBe(false);
  expect(isToWakeAgain({ state: "waking" }, { kind: "poweroff" }, paths)).toBe(false);
  appendFileSync(place.disk, "more");
  expect(isToWakeAgain({ state: "waking" }, killed, paths)).toBe(false);
});

test("nothing is left of a machine that could not be saved", async () => {
  const failed = saveMachine(place, KIND, async ({ memoryPath }) => {
    writeFileSync(memoryPath, "half");
    throw new Error("no space left");
  });
  await expect(failed).rejects.toThrow("no space left");
  expect(readdirSync(home)).toEqual(["disk.ext4"]);
});

test("files of a saved machine are its owner's alone", async () => {
  await save();
  expect(statSync(join(place.folder, "suspend.json")).mode & 0o777).toBe(0o600);
  expect(statSync(place.folder).mode & 0o777).toBe(0o700);
});

test("another VMM, kernel or image does not fit the memory", () => {
  expect(() => assertSameKind(KIND, KIND)).not.toThrow();
  expect(() => assertSameKind(KIND, { ...KIND, vmm: "qemu 8" })).toThrow("the VMM, its version");
  expect(() => assertSameKind(KIND, { ...KIND, kernel: "x" })).toThrow("its kernel has changed");
  expect(() => assertSameKind(KIND, { ...KIND, image: "x" })).toThrow("its image has changed");
});
