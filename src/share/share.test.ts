/** A shared directory as a hostile machine uses it: messages made by hand, against a temporary directory. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "#base/run.ts";
import { errorOf } from "#test/expect-error.ts";
import { openShare, text, u32, u64 } from "#test/share-requests.ts";
import { Op, ROOT_ID } from "./wire.ts";

const base = realpathSync(mkdtempSync(join(tmpdir(), "banger-share-")));
const root = join(base, "shared");
const at = (path: string) => join(root, path);
// As its process has it; other files' tests are in this one.
const umask = process.umask(0);
afterAll(() => {
  process.umask(umask);
  rmSync(base, { recursive: true });
});

beforeEach(() => {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(at("dir"), { recursive: true });
  mkdirSync(join(base, "outside"), { recursive: true });
  writeFileSync(join(base, "outside/secret"), "secret\n");
  writeFileSync(at("file"), "content\n");
  symlinkSync("../outside", at("way-out"));
  symlinkSync("/etc/passwd", at("absolute"));
});

const EPERM = 1;
const ENOENT = 2;
const EBADF = 9;
const ENOMEM = 12;
const EACCES = 13;
const EINVAL = 22;
const ENFILE = 23;
const EROFS = 30;
const ENOSYS = 38;
const ESTALE = 116;

const open = (options: Parameters<typeof openShare>[1] = {}) => openShare(root, options);

test("a file is found, read, written and removed, and the kernel's count of it ends", () => {
  const { share, ask, send, look, openFile, read, write } = open();
  const { id } = look("file");
  const { handle } = openFile(id, 2);
  expect(read(handle).body.toString()).toBe("content\n");
  expect(write(handle, "changed\n").body.readUInt32LE(0)).toBe(8);
  expect(readFileSync(at("file"), "utf8")).toBe("changed\n");
  expect(ask(Op.UNLINK, ROOT_ID, text("file")).errno).toBe(0);
  // Open all the same.
  expect(read(handle).body.toString()).toBe("changed\n");
  expect(ask(Op.GETATTR, id, u32(0, 0), u64(0)).errno).toBe(0);
  ask(Op.RELEASE, id, u64(handle), u32(0, 0), u64(0));
  expect(send(Op.FORGET, id, u64(1))).toBeUndefined();
  expect(share.counts).toEqual({ nodes: 1, descriptors: 1, handles: 0, listings: 0 });
  expect(read(handle).errno).toBe(EBADF);
});

test("names lead to one entry of one directory, and never out", () => {
  const { ask, look, create } = open();
  const dir = look("dir").id;
  const hostile = ["..", ".", "", "../outside", "dir/../../outside", "/etc", "a/b"];
  for (const name of hostile) {
    expect(look(name).errno, name).toBe(EINVAL);
    expect(look(name, dir).errno, name).toBe(EINVAL);
    expect(create(name, 2).errno, name).toBe(EINVAL);
    expect(ask(Op.MKDIR, ROOT_ID, u32(0o755, 0), text(name)).errno, name).toBe(EINVAL);
    expect(ask(Op.UNLINK, ROOT_ID, text(name)).errno, name).toBe(EINVAL);
    expect(ask(Op.RMDIR, ROOT_ID, text(name)).errno, name).toBe(EINVAL);
    expect(ask(Op.SYMLINK, ROOT_ID, text(name), text("x")).errno, name).toBe(EINVAL);
    const both = [text("file"), text(name)];
    expect(ask(Op.RENAME, ROOT_ID, u64(ROOT_ID), ...both).errno, name).toBe(EINVAL);
    expect(ask(Op.RENAME2, ROOT_ID, u64(ROOT_ID), u32(1, 0), ...both).errno, name).toBe(EINVAL);
    expect(ask(Op.LINK, ROOT_ID, u64(look("file").id), text(name)).errno, name).toBe(EINVAL);
  }
  expect(look("n".repeat(256)).errno).toBe(36);
  expect(readdirSync(root).sort()).toEqual(["absolute", "dir", "file", "way-out"]);
});

test("a symlink is text: nothing is read, written or changed through it", () => {
  const { ask, look, openFile, create, setMode } = open();
  for (const [name, target] of [
    ["way-out", "../outside"],
    ["absolute", "/etc/passwd"],
  ] as const) {
    const { id } = look(name);
    expect(ask(Op.READLINK, id).body.toString()).toBe(target);
    expect(openFile(id).errno).toBe(EACCES);
    expect(look("secret", id).errno).toBe(20);
    expect(ask(Op.OPENDIR, id, u32(0, 0)).errno).toBe(20);
    expect(create(name, 2).errno).toBe(EACCES);
    expect(create("planted", 2, id).errno).toBe(20);
    expect(setMode(id, 0o777).errno).toBe(95);
    const size = ask(Op.SETATTR, id, u32(8, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 0, 0, 0));
    expect(size.errno).toBe(EINVAL);
  }
  expect(readdirSync(join(base, "outside"))).toEqual(["secret"]);
  expect(readFileSync(join(base, "outside/secret"), "utf8")).toBe("secret\n");
});

test("a directory that a symlink takes the place of does not become what that leads to", () => {
  const { look, create } = open({ descriptors: 2 });
  const { id } = look("dir");
  renameSync(at("dir"), at("was"));
  symlinkSync("../outside", at("dir"));
  // Its descriptor is closed, and it is looked for again.
  look("file");
  look("absolute");
  look("way-out");
  expect(look("secret", id).errno).toBe(ESTALE);
  expect(create("planted", 2, id).errno).toBe(ESTALE);
  expect(existsSync(join(base, "outside/planted"))).toBe(false);
  expect(look("was").id).toBe(id);
  expect(create("placed", 2, id).errno).toBe(0);
  expect(existsSync(at("was/placed"))).toBe(true);
});

test("what is no file is not opened, and none is made", async () => {
  await run(["mkfifo", at("fifo")], { timeout_ms: 10_000 });
  const { ask, look, openFile, create } = open();
  const { id } = look("fifo");
  expect(openFile(id).errno).toBe(EACCES);
  expect(openFile(id, 1).errno).toBe(EACCES);
  expect(create("fifo", 1).errno).toBe(EACCES);
  const make = (mode: number) => ask(Op.MKNOD, ROOT_ID, u32(mode, 0x103, 0, 0), text("made")).errno;
  for (const kind of [0o020000, 0o060000, 0o010000, 0o140000]) {
    expect(make(kind | 0o666), kind.toString(8)).toBe(EPERM);
  }
  expect(make(0o106755)).toBe(0);
  expect(statSync(at("made")).mode & 0o7777).toBe(0o755);
});

test("no file gets the right to run as its owner", () => {
  const { look, setMode, openFile, create, ask } = open();
  expect(setMode(look("file").id, 0o6755).errno).toBe(0);
  expect(statSync(at("file")).mode & 0o7777).toBe(0o755);
  expect(create("made", 2).errno).toBe(0);
  expect(ask(Op.CREATE, ROOT_ID, u32(2, 0o6755, 0, 0), text("program")).errno).toBe(0);
  expect(statSync(at("program")).mode & 0o7777).toBe(0o755);
  // The host's own loses it before the machine writes.
  chmodSync(at("file"), 0o4755);
  expect(openFile(look("file").id).errno).toBe(0);
  expect(statSync(at("file")).mode & 0o7777).toBe(0o4755);
  expect(openFile(look("file").id, 1).errno).toBe(0);
  expect(statSync(at("file")).mode & 0o7777).toBe(0o755);
});

test("read-only: every change is refused, whatever the machine has mounted", () => {
  const { ask, look, openFile, read, create, setMode } = open({ isReadOnly: true });
  const { id } = look("file");
  const { handle } = openFile(id);
  expect(read(handle).body.toString()).toBe("content\n");
  const names = [text("file"), text("moved")];
  const changes = {
    open: openFile(id, 1),
    openBoth: openFile(id, 2),
    truncating: openFile(id, 0o1000),
    create: create("new", 2),
    mode: setMode(id, 0),
    mkdir: ask(Op.MKDIR, ROOT_ID, u32(0o755, 0), text("new")),
    mknod: ask(Op.MKNOD, ROOT_ID, u32(0o100644, 0, 0, 0), text("new")),
    symlink: ask(Op.SYMLINK, ROOT_ID, text("new"), text("x")),
    link: ask(Op.LINK, ROOT_ID, u64(id), text("new")),
    unlink: ask(Op.UNLINK, ROOT_ID, text("file")),
    rmdir: ask(Op.RMDIR, ROOT_ID, text("dir")),
    rename: ask(Op.RENAME, ROOT_ID, u64(ROOT_ID), ...names),
    exchange: ask(Op.RENAME2, ROOT_ID, u64(ROOT_ID), u32(2, 0), ...names),
    write: ask(Op.WRITE, id, u64(handle, 0), u32(1, 0), u64(0), u32(0, 0), Buffer.from("x")),
    fallocate: ask(Op.FALLOCATE, id, u64(handle, 0, 10), u32(0, 0)),
    copy: ask(Op.COPY_FILE_RANGE, id, u64(handle, 0, id, handle, 0, 10, 0)),
  };
  for (const [name, { errno }] of Object.entries(changes)) expect(errno, name).toBe(EROFS);
  expect(readdirSync(root).sort()).toEqual(["absolute", "dir", "file", "way-out"]);
  expect(readFileSync(at("file"), "utf8")).toBe("content\n");
});

test("a machine has so many nodes and open files, and no more", () => {
  const { share, ask, look, openFile } = open({ nodes: 20, descriptors: 8 });
  for (let index = 0; index < 30; index++) writeFileSync(at(`f${index}`), "");
  const results = Array.from({ length: 30 }, (_, index) => look(`f${index}`).errno);
  expect(results.filter((errno) => errno === 0)).toHaveLength(19);
  expect(new Set(results)).toEqual(new Set([0, ENOMEM]));
  expect(share.counts.descriptors).toBeLessThanOrEqual(9);
  const { id } = look("f0");
  const opened = Array.from({ length: 10 }, () => openFile(id).errno);
  expect(opened.filter((errno) => errno === 0)).toHaveLength(8);
  expect(opened.at(-1)).toBe(ENFILE);
  expect(ask(Op.OPENDIR, ROOT_ID, u32(0, 0)).errno).toBe(ENFILE);
});

test("deeper than there are descriptors is an error, and names and numbers that are none too", () => {
  const { ask, look, read } = open({ descriptors: 8 });
  mkdirSync(at("d/".repeat(30)), { recursive: true });
  let id: number = ROOT_ID;
  for (let depth = 0; depth < 29; depth++) id = look("d", id).id;
  expect(ask(Op.GETATTR, id, u32(0, 0), u64(0)).errno).toBe(0);
  // Their descriptors are closed for those of others.
  for (let index = 0; index < 10; index++) {
    writeFileSync(at(`f${index}`), "");
    look(`f${index}`);
  }
  expect(ask(Op.GETATTR, id, u32(0, 0), u64(0)).errno).toBe(40);
  for (const unknown of [0, 99, 2n ** 53n, 2n ** 64n - 1n]) {
    expect(ask(Op.GETATTR, unknown, u32(0, 0), u64(0)).errno).toBe(ESTALE);
    expect(ask(Op.LOOKUP, unknown, text("file")).errno).toBe(ESTALE);
  }
  expect(read(12345).errno).toBe(EBADF);
  expect(look("missing").id).toBe(0);
  expect(ask(Op.LINK, ROOT_ID, u64(4711), text("x")).errno).toBe(ESTALE);
});

test("what makes no sense ends the share, and what is not known does not", () => {
  const { share, ask, openFile, look, read } = open();
  for (const opcode of [21, 22, 34, 39, 40, 49, 50, 52, 4096, 0xffff_ffff]) {
    expect(ask(opcode, ROOT_ID, Buffer.alloc(64)).errno).toBe(ENOSYS);
  }
  const { handle } = openFile(look("file").id, 2);
  // Far more than there is, or than may be asked for at once.
  expect(read(handle, 0xffff_ffff).body.toString()).toBe("content\n");
  expect(read(handle, 10, 2n ** 64n - 1n).errno).toBe(27);
  const cut = (opcode: number, ...body: Buffer[]) => {
    const payload = Buffer.concat(body);
    const header = [u32(40 + payload.length, opcode), u64(1n, ROOT_ID), u32(0, 0, 0, 0)];
    return errorOf(() => share.answer(Buffer.concat([...header, payload]))).message;
  };
  expect(cut(Op.LOOKUP, Buffer.from("no end"))).toContain("a name without an end");
  expect(cut(Op.RENAME, u64(ROOT_ID), text("one"))).toContain("a name without an end");
  expect(cut(Op.READ, u64(handle))).toContain("too short");
  expect(cut(Op.SETATTR, u32(1))).toContain("too short");
  const write = [u64(handle, 0), u32(5000, 0), u64(0), u32(0, 0), Buffer.from("short")];
  expect(cut(Op.WRITE, ...write)).toContain("too short");
  expect(cut(Op.BATCH_FORGET, u32(0xffff_ffff, 0))).toContain("too many");
  expect(cut(Op.BATCH_FORGET, u32(3, 0), u64(2, 1))).toContain("too short");
  expect(readFileSync(at("file"), "utf8")).toBe("content\n");
});

test("a directory is listed once and whole, in pieces and from any place in it", () => {
  for (let index = 0; index < 2000; index++) writeFileSync(at(`dir/${"n".repeat(40)}${index}`), "");
  const { share, ask, send, look } = open();
  const { id } = look("dir");
  const handle = ask(Op.OPENDIR, id, u32(0, 0)).body.readBigUInt64LE(0);
  const list = (opcode: number, before: number) => {
    const names: string[] = [];
    const positions: bigint[] = [0n];
    for (let from = 0n; ; ) {
      const body = u64(handle, from);
      const { body: page } = ask(opcode, id, body, u32(4096, 0), u64(0), u32(0, 0));
      if (page.length === 0) return { names, positions };
      for (let place = 0; place < page.length; ) {
        const length = page.readUInt32LE(place + before + 16);
        if (before > 0) {
          const node = page.readBigUInt64LE(place);
          if (node !== 0n) send(Op.FORGET, node, u64(1));
        }
        const start = place + before + 24;
        names.push(page.toString("latin1", start, start + length));
        from = page.readBigUInt64LE(place + before + 8);
        positions.push(from);
        place = (start + length + 7) & ~7;
      }
    }
  };
  const expected = [".", "..", ...readdirSync(at("dir"))].sort();
  const { names, positions } = list(Op.READDIR, 0);
  expect(names.toSorted()).toEqual(expected);
  expect(list(Op.READDIRPLUS, 128).names.toSorted()).toEqual(expected);
  expect(share.counts.nodes).toBe(2);
  const middle = u64(handle, positions[1000] ?? 0n);
  const { body } = ask(Op.READDIR, id, middle, u32(4096, 0), u64(0), u32(0, 0));
  expect(body.toString("latin1", 24, 24 + body.readUInt32LE(16))).toBe(names[1000] ?? "");
});

test("a rename is followed, also one over a file that is open", () => {
  const { ask, look, openFile, read } = open({ descriptors: 4 });
  writeFileSync(at("other"), "other\n");
  const file = look("file").id;
  const { handle } = openFile(look("other").id);
  const dir = look("dir").id;
  expect(ask(Op.RENAME, ROOT_ID, u64(ROOT_ID), text("file"), text("other")).errno).toBe(0);
  expect(read(handle).body.toString()).toBe("other\n");
  expect(ask(Op.RENAME, ROOT_ID, u64(dir), text("other"), text("inside")).errno).toBe(0);
  for (const name of ["absolute", "way-out"]) look(name);
  expect(ask(Op.GETATTR, file, u32(0, 0), u64(0)).errno).toBe(0);
  expect(readFileSync(at("dir/inside"), "utf8")).toBe("content\n");
  const over = [u64(ROOT_ID), u32(1, 0), text("absolute"), text("way-out")];
  expect(ask(Op.RENAME2, ROOT_ID, ...over).errno).toBe(17);
  const whiteout = [u64(ROOT_ID), u32(4, 0), text("absolute"), text("x")];
  expect(ask(Op.RENAME2, ROOT_ID, ...whiteout).errno).toBe(EINVAL);
  const swapped = [u64(ROOT_ID), u32(2, 0), text("absolute"), text("way-out")];
  expect(ask(Op.RENAME2, ROOT_ID, ...swapped).errno).toBe(0);
  expect(ask(Op.READLINK, look("absolute").id).body.toString()).toBe("../outside");
  expect(lstatSync(at("way-out")).isSymbolicLink()).toBe(true);
  expect(look("gone").errno === ENOENT || look("gone").id === 0).toBe(true);
});

test("a file that the host has changed is looked for again when it is opened", async () => {
  const { ask, look, openFile, notifications, write } = open();
  const { id } = look("file");
  expect(openFile(id).errno).toBe(0);
  writeFileSync(at("file"), "changed on the host\n");
  expect(openFile(id).errno).toBe(ESTALE);
  // It changes again before the kernel tries again: that succeeds all the same.
  look("file");
  writeFileSync(at("file"), "changed once more on the host\n");
  expect(notifications).toHaveLength(0);
  const { handle } = openFile(id, 2);
  expect(handle).toBeGreaterThan(0);
  const [notification = Buffer.alloc(0)] = notifications;
  // FUSE_NOTIFY_INVAL_INODE, of its attributes.
  expect([notification.length, notification.readInt32LE(4)]).toEqual([40, 2]);
  expect(Number(notification.readBigUInt64LE(16))).toBe(id);
  expect(notification.readBigInt64LE(24)).toBe(-1n);
  // It was given them since then.
  expect(ask(Op.GETATTR, id, u32(1, 0), u64(handle)).errno).toBe(0);
  expect([openFile(id).errno, notifications.length]).toEqual([0, 1]);
  // And knows what it writes itself.
  expect(write(handle, "by the machine, and longer than that\n", id).errno).toBe(0);
  expect([openFile(id).errno, notifications.length]).toEqual([0, 1]);
  // The next change is one of its own, a moment later, however long it takes to try again.
  await Bun.sleep(110);
  writeFileSync(at("file"), "changed for the third time\n");
  expect(openFile(id).errno).toBe(ESTALE);
  await Bun.sleep(110);
  expect(openFile(id).errno).toBe(0);
});
