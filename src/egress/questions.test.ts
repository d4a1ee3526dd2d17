import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import { Always } from "./always.ts";
import { Questions } from "./questions.ts";

function setUp(hold_ms = 60_000) {
  const folder = mkdtempSync(join(tmpdir(), "banger-ask-"));
  const rules: string[] = [];
  const always = new Always(join(folder, "always.json"));
  const questions = new Questions({
    nameOf: (id) => (id === "gone" ? undefined : `box-${id}`),
    addRule: async (id, rule) => void rules.push(`${id} ${rule}`),
    always,
    hold_ms,
  });
  const ask = (name: string, more: { machineId?: string; signal?: AbortSignal } = {}) =>
    questions.ask(
      { machineId: more.machineId ?? "a", name, port: 443 },
      more.signal ?? new AbortController().signal,
    );
  return {
    ...{ questions, ask, rules, always },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

test("an answer counts once, for the machine, or always", async () => {
  using all = setUp();
  const { questions, ask, rules, always } = all;
  const answer = async (allow: boolean, scope: "once" | "machine" | "always") => {
    const [question] = questions.list();
    await questions.answer({ id: question?.id ?? "", allow, scope });
  };
  const first = [ask("shop.test"), ask("shop.test")];
  expect(questions.list()).toMatchObject([{ vm: "box-a", name: "shop.test", port: 443 }]);
  await answer(true, "once");
  expect(await Promise.all(first)).toEqual([true, true]);
  const again = ask("shop.test");
  await answer(false, "machine");
  expect(await again).toBe(false);
  expect(rules).toEqual(["a deny shop.test:443"]);
  const last = ask("shop.test", { machineId: "b" });
  await answer(true, "always");
  expect(await last).toBe(true);
  expect(await ask("shop.test")).toBe(true);
  expect(questions.list()).toEqual([]);
  expect(always.list()).toEqual([{ rule: "shop.test:443", allow: true }]);
  always.remove("shop.test:443");
  expect(() => always.remove("shop.test:443")).toThrow("no answer is kept");
  expect(await bangerErrorOf(answer(true, "once"))).toMatchObject({ code: "not_found" });
});

test("no answer is a no: of nobody, of a machine that has hung up, and of one that asks too much", async () => {
  using all = setUp(20);
  expect(await all.ask("shop.test")).toBe(false);
  expect(await all.ask("shop.test", { machineId: "gone" })).toBe(false);
  using slow = setUp();
  const abort = new AbortController();
  const left = slow.ask("shop.test", { signal: abort.signal });
  const stays = slow.ask("other.test");
  abort.abort();
  expect(await left).toBe(false);
  expect(slow.questions.list().map(({ name }) => name)).toEqual(["other.test"]);
  for (let index = 0; index < 31; index++) void slow.ask(`${index}.test`);
  expect(await slow.ask("one-more.test")).toBe(false);
  const [question] = slow.questions.list();
  await slow.questions.answer({ id: question?.id ?? "", allow: true, scope: "once" });
  expect(await stays).toBe(true);
});

test("who watches sees what is open, and each change", async () => {
  using all = setUp();
  const abort = new AbortController();
  const seen = all.questions.watch(abort.signal);
  expect((await seen.next()).value).toEqual([]);
  const asked = all.ask("shop.test");
  expect((await seen.next()).value).toMatchObject([{ name: "shop.test" }]);
  await all.questions.answer({
    id: all.questions.list()[0]?.id ?? "",
    allow: false,
    scope: "once",
  });
  expect((await seen.next()).value).toEqual([]);
  expect(await asked).toBe(false);
  abort.abort();
});
