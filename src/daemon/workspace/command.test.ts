import { expect, test } from "bun:test";
import type { Progress } from "#base/progress.ts";
import { errorIn, Reports } from "./command.ts";

test("the error of a command is the error of the call", () => {
  const error = {
    code: "not_found",
    message: 'no directory "/x" in the machine',
    hint: "Import it",
  };
  const found = errorIn(`{"progress":{"step":"a","message":"b"}}\n${JSON.stringify({ error })}\n`);
  expect(found).toMatchObject(error);
});

test("an error that the calls do not declare is one of ours", () => {
  const error = { code: "command_not_found", message: "no such command" };
  expect(errorIn(JSON.stringify({ error }))).toMatchObject({ ...error, code: "internal" });
  expect(errorIn('{"error":{"code":1}}\nSegmentation fault\n').message).toEndWith(
    "Segmentation fault",
  );
  expect(errorIn("").message).toEndWith("no output");
});

test("reports are read in pieces, and nothing else is taken for one", () => {
  const seen: Progress[] = [];
  const reports = new Reports((report) => seen.push(report));
  const text = [
    '{"progress":{"step":"send","message":"Sending ü","done":1,"total":2}}',
    '  {"progress":{"step":"no","message":"indented, so of the document"}}',
    '{"progress":{"step":7}}',
    '{"progress":',
    '{"progress":{"step":"end","message":"Done"}}',
    "",
  ].join("\n");
  for (const byte of Buffer.from(text)) reports.take(Uint8Array.of(byte));
  expect(seen.map(({ step, message }) => [step, message])).toEqual([
    ["send", "Sending ü"],
    ["end", "Done"],
  ]);
});
