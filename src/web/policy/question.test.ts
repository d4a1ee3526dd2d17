import { expect, test } from "bun:test";
import type { PolicyQuestion } from "#api/network.ts";
import {
  ANSWERS,
  destinationOf,
  inOrder,
  LASTING_DENIALS,
  questionOf,
  secondsLeft,
} from "./question.ts";

const question: PolicyQuestion = {
  id: "q1",
  machineId: "m1",
  vm: "web",
  name: "example.com",
  address: "192.0.2.1",
  port: 443,
  at: "2026-01-01T00:00:00.000Z",
  expiresAt: "2026-01-01T00:01:00.000Z",
};

test("a destination is its name, or its address, with the port", () => {
  expect(destinationOf(question)).toBe("example.com:443");
  const { name: _, ...unnamed } = question;
  expect(destinationOf(unnamed)).toBe("192.0.2.1:443");
  expect(destinationOf({ address: "2001:db8::1", port: 22 })).toBe("[2001:db8::1]:22");
  expect(destinationOf({ name: "a.example\u202e<img src=x>" })).toBe(
    "a.example<U+202E><img src=x>",
  );
});

test("the seconds until the answer is no never go below none", () => {
  const at = Date.parse(question.at);
  expect(secondsLeft(question, at)).toBe(60);
  expect(secondsLeft(question, at + 59_001)).toBe(1);
  expect(secondsLeft(question, at + 120_000)).toBe(0);
});

test("what ends first is shown first", () => {
  const soon = { ...question, id: "q2", expiresAt: "2026-01-01T00:00:30.000Z" };
  expect(inOrder([question, soon]).map(({ id }) => id)).toEqual(["q2", "q1"]);
});

test("an entry of the log is answered as the question that it is about", () => {
  const asked = {
    at: question.at,
    machineId: "m1",
    verdict: "asked",
    protocol: "tls",
    name: "example.com",
    port: 443,
  } as const;
  expect(questionOf(asked, [question])).toBe(question);
  expect(questionOf({ ...asked, verdict: "denied" }, [question])).toBeUndefined();
  expect(questionOf({ ...asked, machineId: "m2" }, [question])).toBeUndefined();
  expect(questionOf({ ...asked, port: 80 }, [question])).toBeUndefined();
});

test("a denial that lasts is named so", () => {
  expect(LASTING_DENIALS.map(({ label, allow, scope }) => [label, allow, scope])).toEqual([
    ["Deny for this machine", false, "machine"],
    ["Deny always", false, "always"],
  ]);
});

test("only what is named so is allowed for longer than now", () => {
  expect(ANSWERS.map(({ label, allow, scope }) => [label, allow, scope])).toEqual([
    ["Allow once", true, "once"],
    ["For this machine", true, "machine"],
    ["Always", true, "always"],
    ["Deny", false, "once"],
  ]);
});
