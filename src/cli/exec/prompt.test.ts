import { expect, test } from "bun:test";
import type { PolicyAnswer, PolicyQuestion } from "#api/network.ts";
import { Feed } from "#base/async/feed.ts";
import type { Client } from "#sdk/client.ts";
import { AlternateScreen } from "./alternate-screen.ts";
import { Prompt } from "./prompt.ts";

const AT = "2026-01-01T00:00:00.000Z";

function question(id: string, vm = "box", expiresAt = AT): PolicyQuestion {
  return { id, machineId: vm, vm, name: "shop.test", port: 443, at: AT, expiresAt };
}

async function setUp(vm?: string) {
  const feed = new Feed<PolicyQuestion[]>();
  const answers: PolicyAnswer[] = [];
  const abort = new AbortController();
  const policy = {
    watch: async () => feed.listen(abort.signal),
    answer: async (answer: PolicyAnswer) => void answers.push(answer),
  };
  let shown = "";
  const screen = new AlternateScreen();
  const prompt = new Prompt({ policy } as unknown as Client, {
    signal: abort.signal,
    screen,
    ...(vm === undefined ? {} : { vm }),
    write: (text) => {
      shown += text;
    },
  });
  const watching = prompt.watch();
  const type = (text: string) => Buffer.from(prompt.take(Buffer.from(text))).toString();
  const open = async (...questions: PolicyQuestion[]) => {
    await Bun.sleep(0);
    feed.publish(questions);
    await Bun.sleep(0);
  };
  const end = async () => {
    abort.abort();
    await watching;
  };
  const output = (text: string) => {
    screen.see(Buffer.from(text));
    shown += text;
    prompt.refresh();
  };
  return { answers, type, open, end, output, shown: () => shown };
}

test("a letter and Enter answer; whatever else is typed goes on to the machine", async () => {
  const { answers, type, open, end, shown } = await setUp("box");
  expect(type("o\r")).toBe("o\r");
  await open(question("q0", "another"));
  expect(shown()).toBe("");
  await open(question("q1"));
  expect(shown()).toContain("shop.test:443");
  expect(type("make all\r")).toBe("make all\r");
  expect(type("m")).toBe("");
  expect(type("ake\r")).toBe("make\r");
  expect(answers).toEqual([]);
  expect(type("m")).toBe("");
  expect(type("\r")).toBe("");
  expect(answers).toEqual([{ id: "q1", allow: true, scope: "machine" }]);
  await open(question("q2"));
  expect(type("n\n")).toBe("");
  expect(answers.at(-1)).toEqual({ id: "q2", allow: false, scope: "once" });
  // One that has gone takes no letters with it.
  await open(question("q3"));
  expect(type("a")).toBe("");
  await open();
  expect(type("b")).toBe("ab");
  await end();
});

test("a question that went without an answer of this terminal says so", async () => {
  const { answers, type, open, end, shown } = await setUp();
  const later = "2100-01-01T00:00:00.000Z";
  await open(question("q1", "box", later));
  await open();
  expect(shown()).toEndWith("\r\nAnswered elsewhere, or no longer asked\r\n");
  // What is typed then is the machine's.
  expect(type("o\r")).toBe("o\r");
  await open(question("q2", "box", AT));
  await open(question("q3", "box", later));
  expect(shown()).toContain("\r\nNo answer in time: denied\r\n\r\nMachine");
  const before = shown().length;
  expect(type("o\r")).toBe("");
  await open();
  expect(shown().slice(before)).toBe("o\r\n");
  expect(answers).toEqual([{ id: "q3", allow: true, scope: "once" }]);
  await end();
});

test("a question leaves a full-screen program alone, rings, and is shown once that has left", async () => {
  const { answers, type, open, end, output, shown } = await setUp();
  await open(question("q1"));
  expect(shown()).toContain("shop.test:443");
  output("\x1b[?1049h");
  let before = shown().length;
  await open(question("q1"));
  await open(question("q1"), question("q2"));
  expect(shown().slice(before)).toBe("");
  expect(type("o\r")).toBe("o\r");
  await open(question("q2"));
  expect(shown().slice(before)).toBe("\x07");
  before = shown().length;
  output("\x1b[?1049l$ ");
  expect(shown().slice(before)).toStartWith("\x1b[?1049l$ \r\nMachine");
  expect(type("o\r")).toBe("");
  expect(answers).toEqual([{ id: "q2", allow: true, scope: "once" }]);
  await end();
});
