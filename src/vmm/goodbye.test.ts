import { expect, test } from "bun:test";
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { Goodbye, resetReason } from "./goodbye.ts";

const heard = { word: undefined, isHeard: true, consoleText: "" };
const PANIC = "[ 1.9] Kernel panic - not syncing: Attempted to kill init!\n";

test("a word is heard however it is cut, answered, and replaced by a later one", async () => {
  const [guest, host] = duplexPair();
  const goodbye = new Goodbye();
  goodbye.listen(host);
  for (const [text, word] of [
    ["leaving\n", "leaving"],
    [`${"x".repeat(100_000)}\n`, "leaving"],
    ["poweroff now\n", "leaving"],
    ["reboot\n", "reboot"],
  ] as const) {
    for (const piece of [text.slice(0, 3), text.slice(3)]) guest.write(piece);
    const [answer] = await once(guest, "data");
    expect(String(answer)).toBe("\n");
    expect(goodbye.word).toBe(word);
  }
  const complete = goodbye.complete();
  goodbye.close();
  await complete;
});

test("a reset is what the guest said last, then what its console shows, and a crash otherwise", () => {
  expect(resetReason({ ...heard, word: "reboot", consoleText: PANIC })).toEqual({ kind: "reboot" });
  expect(resetReason({ ...heard, word: "poweroff" })).toEqual({ kind: "poweroff" });
  expect(resetReason({ ...heard, word: "leaving" })).toEqual({ kind: "reboot" });
  expect(resetReason({ ...heard, word: "leaving", consoleText: PANIC })).toEqual({
    kind: "panic",
    detail: PANIC.trim(),
  });
  const forced = "[ 7.1] reboot: Restarting system\n";
  expect(resetReason({ ...heard, consoleText: forced })).toEqual({ kind: "reboot" });
  expect(resetReason(heard)).toMatchObject({ kind: "crashed" });
  expect(resetReason({ ...heard, isHeard: false })).toEqual({ kind: "unknown" });
});
