/** What a machine can make the process of its shares keep, by doing what no kernel does. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openShare, text, u32, u64 } from "#test/share-requests.ts";
import { Op, ROOT_ID } from "./wire.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-share-limits-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const ENOTEMPTY = 39;
const ESTALE = 116;

test("directories that are forgotten before what is in them count until that is", () => {
  const deep = "d/".repeat(20);
  mkdirSync(join(root, deep), { recursive: true });
  for (let index = 0; index < 10; index++) writeFileSync(join(root, deep, `f${index}`), "");
  const { share, send, look } = openShare(root, { nodes: 100 });
  const chain = (): number[] => {
    const ids = [ROOT_ID];
    for (let at = look("d"); at.errno === 0 && at.id; at = look("d", at.id)) ids.push(at.id);
    return ids;
  };
  const files: number[] = [];
  for (let index = 0; index < 10; index++) {
    const ids = chain();
    expect(ids).toHaveLength(21);
    const file = look(`f${index}`, ids.at(-1)).id;
    files.push(file);
    for (const id of ids.slice(1)) send(Op.FORGET, id, u64(2n ** 64n - 1n));
    expect(share.counts.nodes).toBe(21 + files.length);
    expect(look("d", ids[1]).errno).toBe(ESTALE);
  }
  for (const file of files) send(Op.FORGET, file, u64(1));
  expect(share.counts.nodes).toBe(1);
  // No room for the whole of them.
  const small = openShare(root, { nodes: 10 });
  const ids = Array.from({ length: 20 }).reduce<number[]>((all) => {
    const { id } = small.look("d", all.at(-1) ?? ROOT_ID);
    if (all.length > 0) small.send(Op.FORGET, all.at(-1) ?? 0, u64(1));
    return id ? [...all, id] : all;
  }, []);
  expect(ids).toHaveLength(9);
  small.share[Symbol.dispose]();
  share[Symbol.dispose]();
});

test("names that are not removed after all take no descriptors for ever", () => {
  for (let index = 0; index < 60; index++)
    mkdirSync(join(root, `d${index}/full`), { recursive: true });
  const { share, ask, look } = openShare(root, { descriptors: 16 });
  for (let index = 0; index < 60; index++) look(`d${index}`);
  mkdirSync(join(root, "empty"));
  for (let index = 0; index < 60; index++) {
    expect(ask(Op.RMDIR, ROOT_ID, text(`d${index}`)).errno).toBe(ENOTEMPTY);
    const names = [text("empty"), text(`d${index}`)];
    expect(ask(Op.RENAME, ROOT_ID, u64(ROOT_ID), ...names).errno).toBe(ENOTEMPTY);
    expect(share.counts.descriptors).toBeLessThanOrEqual(17);
  }
  share[Symbol.dispose]();
});

test("directories that are listed at the same time share some memory, and each is listed whole", () => {
  for (let index = 0; index < 100; index++) writeFileSync(join(root, `f${index}`), "");
  const { share, ask } = openShare(root, { descriptors: 1000 });
  const opened = Array.from({ length: 200 }, () => {
    const handle = ask(Op.OPENDIR, ROOT_ID, u32(0, 0)).body.readBigUInt64LE(0);
    return { handle, from: 0n, names: [] as string[], isDone: false };
  });
  while (opened.some(({ isDone }) => !isDone)) {
    for (const each of opened) {
      const where = u64(each.handle, each.from);
      const { body } = ask(Op.READDIR, ROOT_ID, where, u32(1024, 0), u64(0), u32(0, 0));
      each.isDone = body.length === 0;
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32LE(at + 16);
        each.names.push(body.toString("latin1", at + 24, at + 24 + length));
        each.from = body.readBigUInt64LE(at + 8);
        at = (at + 24 + length + 7) & ~7;
      }
    }
    expect(share.counts.listings).toBeLessThanOrEqual(64);
  }
  const expected = [".", "..", ...readdirSync(root)].sort();
  for (const { names } of opened) expect(names.toSorted()).toEqual(expected);
  for (const { handle } of opened) ask(Op.RELEASEDIR, ROOT_ID, u64(handle), u32(0, 0), u64(0));
  expect(share.counts.listings).toBe(0);
  share[Symbol.dispose]();
});
