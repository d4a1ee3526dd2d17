import { expect, test } from "bun:test";
import { modes } from "#ext4/format.ts";
import { ROOT_NODE, Tree } from "./tree.ts";

const name = (text: string | number) => Buffer.from(String(text));
const COUNT = 30_000;

test("finds each of many names, in the folder that it is in", () => {
  const tree = new Tree();
  const folder = tree.create(ROOT_NODE, name("d"), modes.DIRECTORY);
  const nodes = Array.from({ length: COUNT }, (_, index) =>
    tree.create(index % 2 ? folder : ROOT_NODE, name(index), modes.REGULAR),
  );
  for (let index = 0; index < COUNT; index += 17) {
    expect(tree.lookup(index % 2 ? folder : ROOT_NODE, name(index))).toBe(nodes[index] ?? -1);
    expect(tree.lookup(index % 2 ? ROOT_NODE : folder, name(index))).toBe(0);
  }
  expect(tree.children(folder).map((node) => Buffer.from(tree.nameOf(node)).toString())).toEqual(
    Array.from({ length: COUNT / 2 }, (_, index) => String(index * 2 + 1)),
  );
});

test("a name that was removed is gone, and its inode is used again", () => {
  const tree = new Tree();
  const nodes = Array.from({ length: 100 }, (_, n) =>
    tree.create(ROOT_NODE, name(n), modes.REGULAR),
  );
  const inodes = nodes.map((node) => tree.inodeOf(node));
  const { inodeEnd } = tree;
  for (let index = 0; index < 100; index += 2) {
    tree.setRun(inodes[index] ?? 0, 1000 + index, 3);
    expect(tree.remove(nodes[index] ?? 0)).toEqual({ start: 1000 + index, blocks: 3 });
  }
  expect(tree.children(ROOT_NODE)).toHaveLength(50);
  expect(tree.lookup(ROOT_NODE, name(4))).toBe(0);
  expect(tree.lookup(ROOT_NODE, name(5))).toBe(nodes[5] ?? 0);
  const again = tree.create(ROOT_NODE, name(4), modes.FIFO);
  expect(inodes).toContain(tree.inodeOf(again));
  expect(tree.run(tree.inodeOf(again))).toEqual({ start: 0, blocks: 0 });
  expect(tree.inodeEnd).toBe(inodeEnd);
});

test("an inode lives as long as one of its names", () => {
  const tree = new Tree();
  const first = tree.create(ROOT_NODE, name("a"), modes.REGULAR);
  const inode = tree.inodeOf(first);
  tree.link(ROOT_NODE, name("b"), first);
  expect(tree.inode(inode).links).toBe(2);
  expect(tree.remove(first)).toBeUndefined();
  expect(tree.isUsed(inode)).toBe(true);
  tree.remove(tree.lookup(ROOT_NODE, name("b")));
  expect(tree.isUsed(inode)).toBe(false);
});

test("attributes are given back as they were set", () => {
  const tree = new Tree();
  const node = tree.create(ROOT_NODE, name("a"), modes.REGULAR);
  for (const mtime_s of [0, 1, -1, -(2 ** 31), 2 ** 32, -(2 ** 33) - 5]) {
    const given = { mode: 0o6755, uid: 2 ** 32 - 1, gid: 70_000, mtime_s, mtime_ns: 999_999_999 };
    tree.setAttributes(node, given);
    expect(tree.inode(tree.inodeOf(node))).toMatchObject({
      ...given,
      mode: modes.REGULAR | 0o6755,
    });
  }
});

test("a file has at most 65,000 names", () => {
  const tree = new Tree();
  const first = tree.create(ROOT_NODE, name("a"), modes.REGULAR);
  for (let index = 1; index < 65_000; index++) tree.link(ROOT_NODE, name(index), first);
  expect(() => tree.link(ROOT_NODE, name("one more"), first)).toThrow(/"\/a".*65000/);
});
