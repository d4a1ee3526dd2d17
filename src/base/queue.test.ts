import { expect, test } from "bun:test";
import { KeyedQueue } from "./queue.ts";

test("operations on one key run in order, also after a failure", async () => {
  const queue = new KeyedQueue();
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run("a", async () => {
    await gate.promise;
    seen.push("first");
    throw new Error("broken");
  });
  const second = queue.run("a", async () => seen.push("second"));
  expect(seen).toEqual([]);
  gate.resolve();
  await expect(first).rejects.toThrow("broken");
  await second;
  expect(seen).toEqual(["first", "second"]);
});

test("operations on different keys do not wait for each other", async () => {
  const queue = new KeyedQueue();
  const gate = Promise.withResolvers<void>();
  const blocked = queue.run("a", () => gate.promise);
  expect(await queue.run("b", async () => "done")).toBe("done");
  gate.resolve();
  await blocked;
});
