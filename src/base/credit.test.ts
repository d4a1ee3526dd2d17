import { expect, test } from "bun:test";
import { Credit } from "./credit.ts";

test("Credit gives what there is, waits for more, and ends with nothing", async () => {
  const credit = new Credit(5);
  expect(await credit.take(3)).toBe(3);
  expect(await credit.take(3)).toBe(2);
  let taken: number | undefined;
  const waiting = credit.take(10).then((bytes) => {
    taken = bytes;
  });
  await Bun.sleep(1);
  expect(taken).toBeUndefined();
  credit.add(4);
  await waiting;
  expect(taken).toBe(4);
  credit.add(1);
  expect(credit.left_bytes).toBe(1);
  const late = new Credit(0);
  const never = late.take(1);
  late.close();
  expect(await never).toBe(0);
  late.add(10);
  expect(await late.take(1)).toBe(0);
});
