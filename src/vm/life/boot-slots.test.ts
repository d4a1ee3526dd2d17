import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { BootSlots } from "./boot-slots.ts";

const { signal: never } = new AbortController();

test("slots are given in the order in which they are asked for", async () => {
  const slots = new BootSlots(2);
  const order: string[] = [];
  const take = (name: string) =>
    slots
      .take(never, () => order.push(`${name} waits`))
      .then((leave) => {
        order.push(name);
        return leave;
      });
  const [leaveA] = await Promise.all([take("a"), take("b")]);
  const [c, d] = [take("c"), take("d")];
  leaveA();
  leaveA();
  const leaveC = await c;
  await Bun.sleep(0);
  expect(order).toEqual(["a", "b", "c waits", "d waits", "c"]);
  leaveC();
  await d;
  expect(order.at(-1)).toBe("d");
});

test("whoever gives up waiting takes no slot with it", async () => {
  const slots = new BootSlots(1);
  const leave = await slots.take(never, () => {});
  const abort = new AbortController();
  const waiting = slots.take(abort.signal, () => {});
  const gone = slots.take(AbortSignal.abort(), () => {});
  abort.abort();
  expect((await bangerErrorOf(waiting)).code).toBe("cancelled");
  expect((await bangerErrorOf(gone)).code).toBe("cancelled");
  leave();
  (await slots.take(never, () => {}))();
});
