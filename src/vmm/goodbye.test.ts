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
    [`${"x".repeat(1000)}\n`, "leaving"],
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

test("a word holds for minutes, not for a guest that runs on", async () => {
  const [guest, host] = duplexPair();
  let now_ms = 1000;
  const goodbye = new Goodbye({ now_ms: () => now_ms });
  goodbye.listen(host);
  guest.write("poweroff\n");
  await once(guest, "data");
  now_ms += 4 * 60_000;
  expect(goodbye.word).toBe("poweroff");
  now_ms += 2 * 60_000;
  expect(goodbye.word).toBeUndefined();
  goodbye.close();
});

test("who floods a stream is heard no longer, and is owed no answers", async () => {
  const [guest, host] = duplexPair();
  const goodbye = new Goodbye();
  goodbye.listen(host);
  guest.write("leaving\n".repeat(100));
  await once(guest, "data");
  guest.on("error", () => {});
  for (let round = 0; round < 100; round++) guest.write("\n".repeat(10_000));
  await goodbye.complete();
  expect(host.destroyed).toBe(true);
  expect(host.writableLength).toBeLessThanOrEqual(4096);
  expect(goodbye.word).toBe("leaving");
});

test("of many streams the latest are heard", async () => {
  const goodbye = new Goodbye();
  const pairs = Array.from({ length: 100 }, () => duplexPair());
  for (const [, host] of pairs) goodbye.listen(host);
  const open = pairs.flatMap(([, host], index) => (host.destroyed ? [] : [index]));
  expect(open).toEqual([92, 93, 94, 95, 96, 97, 98, 99]);
  const [guest] = pairs.at(-1) ?? duplexPair();
  guest.write("reboot\n");
  await once(guest, "data");
  expect(goodbye.word).toBe("reboot");
  goodbye.close();
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
