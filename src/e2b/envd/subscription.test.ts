import { expect, test } from "bun:test";
import { Subscription } from "./subscription.ts";

test("a reader gets what was pushed, and then the end", async () => {
  const reader = new Subscription();
  void reader.push(1);
  void reader.push(2);
  reader.end();
  void reader.push(3);
  expect(await Array.fromAsync(reader.read())).toEqual([1, 2]);
});

test("a failure comes after what was pushed before it", async () => {
  const reader = new Subscription();
  void reader.push(1);
  reader.end(new Error("lost"));
  const seen: unknown[] = [];
  const read = async () => {
    for await (const each of reader.read()) seen.push(each);
  };
  expect(read()).rejects.toThrow("lost");
  await Bun.sleep(0);
  expect(seen).toEqual([1]);
});

test("whoever pushes waits for a slow reader, and not for one that has left", async () => {
  const reader = new Subscription();
  let isTaken = false;
  const push = reader.push("a", 1024 * 1024).then(() => {
    isTaken = true;
  });
  await Bun.sleep(0);
  expect(isTaken).toBe(false);
  const events = reader.read();
  expect(await events.next()).toEqual({ done: false, value: "a" });
  await push;
  const stuck = reader.push("b", 1024 * 1024);
  await events.return();
  await stuck;
  await reader.push("c", 1024 * 1024);
});
