import { expect, test } from "bun:test";
import { GiB } from "#base/size.ts";
import { addressOf, mappingAt, ownRuns, splitAtHole } from "./memory.ts";

const PAGE_BYTES = 4096;
const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const OF_FILE = 1n << 61n;
const SOFT_DIRTY = 1n << 55n;

function runs(entries: bigint[], gap_pages = 0): [page: number, count: number][] {
  const bytes = new Uint8Array(BigUint64Array.from(entries).buffer);
  return [...ownRuns(bytes, gap_pages)].map(([offset, length]) => [
    offset / PAGE_BYTES,
    length / PAGE_BYTES,
  ]);
}

test("a page is the process's own when it is present or swapped, and no file's", () => {
  const none = 0n;
  const entries = [none, PRESENT, SWAPPED | 5n, PRESENT | OF_FILE, none, PRESENT | SOFT_DIRTY];
  expect(runs(entries)).toEqual([
    [1, 2],
    [5, 1],
  ]);
  expect(runs(entries, 1)).toEqual(runs(entries));
  expect(runs(entries, 2)).toEqual([[1, 5]]);
  expect(runs([])).toEqual([]);
  expect(runs([none, OF_FILE])).toEqual([]);
});

test("a run is no longer than what is read at once", () => {
  expect(runs(Array.from({ length: 2500 }, () => PRESENT))).toEqual([
    [0, 1024],
    [1024, 1024],
    [2048, 452],
  ]);
});

test("memory above 3 GiB is at 4 GiB", () => {
  expect([0, 3 * GiB - 1, 3 * GiB].map(addressOf)).toEqual([0, 3 * GiB - 1, 4 * GiB]);
  expect(splitAtHole([3 * GiB - 8192, 8192])).toEqual([[3 * GiB - 8192, 8192]]);
  expect(splitAtHole([3 * GiB, 8192])).toEqual([[3 * GiB, 8192]]);
  expect(splitAtHole([3 * GiB - 4096, 8192])).toEqual([
    [3 * GiB - 4096, 4096],
    [3 * GiB, 4096],
  ]);
});

test("the mapping of an address is found, with the file that it has", () => {
  const maps = [
    "55d0c0000000-55d0c0001000 r--p 00000000 fe:00 917 /usr/bin/qemu-system-x86_64",
    "7f52fbe00000-7f540be00000 rw-p 00000000 00:00 0 ",
    "7f540be00000-7f541be00000 rw-p 00000000 fe:00 4711 /var/lib/me mory (deleted)",
    "",
  ].join("\n");
  expect(mappingAt(maps, 0x7f52fbe00000)).toEqual({ inode: 0 });
  expect(mappingAt(maps, 0x7f540be00000)).toEqual({ inode: 4711 });
  expect(mappingAt(maps, 0x7f541be00000)).toBeUndefined();
});
