import { expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as libc from "./libc.ts";

const MIB = 1 << 20;

function inFolder(use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "banger-libc-"));
  try {
    use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("locks exclude each other as flock(2) says", () => {
  inFolder((folder) => {
    const path = join(folder, "lock");
    const [one, two, three] = [openSync(path, "w"), openSync(path, "r"), openSync(path, "r")];
    expect(libc.tryLock(one, "shared")).toBe(true);
    expect(libc.tryLock(two, "shared")).toBe(true);
    expect(libc.tryLock(three)).toBe(false);
    libc.unlock(one);
    closeSync(two);
    expect(libc.tryLock(three)).toBe(true);
    expect(libc.tryLock(one, "shared")).toBe(false);
    closeSync(one);
    closeSync(three);
  });
});

test("holes are found and made", () => {
  inFolder((folder) => {
    const fd = openSync(join(folder, "file"), "w+");
    ftruncateSync(fd, 8 * MIB);
    writeSync(fd, Buffer.alloc(2 * MIB, "x"), 0, 2 * MIB, 4 * MIB);
    expect(libc.seekData(fd, 0)).toBe(4 * MIB);
    expect(libc.seekHole(fd, 4 * MIB)).toBe(6 * MIB);
    expect(libc.seekData(fd, 6 * MIB)).toBeUndefined();
    libc.startWriteback(fd, 0, 8 * MIB);
    libc.dropPages(fd, 0, 8 * MIB);
    const before = fstatSync(fd).blocks;
    libc.punchHole(fd, 4 * MIB, MIB);
    expect(libc.seekData(fd, 0)).toBe(5 * MIB);
    expect(fstatSync(fd)).toMatchObject({ size: 8 * MIB });
    expect(fstatSync(fd).blocks).toBeLessThan(before);
    closeSync(fd);
  });
});

test("paths are swapped, and only when both are there", () => {
  inFolder((folder) => {
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    writeFileSync(a, "a");
    expect(libc.swapPaths(a, b)).toBe(false);
    writeFileSync(b, "b");
    expect(libc.swapPaths(a, b)).toBe(true);
    expect(readFileSync(a, "utf8")).toBe("b");
  });
});

test("descriptors: memory, socket pairs, and what is refused", () => {
  const memory = libc.createMemfd("test", 1);
  expect(libc.createMemfd("test", 0x4000_0000)).toBeUndefined();
  expect(readFileSync(`/proc/self/fd/${memory}`, "utf8")).toBe("");
  const pair = libc.createSocketPair();
  expect(pair?.every((fd) => existsSync(`/proc/self/fd/${fd}`))).toBe(true);
  for (const fd of [memory, ...(pair ?? [])]) if (fd !== undefined) closeSync(fd);
  expect(libc.ioctl(-1, 0x400454ca, 0)).toBe(false);
  const option = { level: 1, option: 2, value: Buffer.alloc(4) };
  expect(libc.setSocketOption(-1, option)).toBe(false);
  expect(libc.sendUnixDatagram(Buffer.from([1, 0, 0, 65]), Buffer.from("x"))).toBe(false);
  const name = { name: "security.capability", max_bytes: 64 };
  expect(libc.readXattr(Buffer.from("/etc/hostname"), name)).toBeUndefined();
});
