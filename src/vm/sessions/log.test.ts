import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { SessionLog } from "./log.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-session-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const bytes = (text: string) => new TextEncoder().encode(text);

function textOf(log: SessionLog, from = 0): string {
  let text = "";
  for (let chunk = log.read(from); chunk; chunk = log.read(from)) {
    text += Buffer.from(chunk.bytes).toString();
    from = chunk.offset + chunk.bytes.length;
  }
  return text;
}

test("SessionLog goes on where an earlier one was, and takes no byte twice", () => {
  const first = new SessionLog(folder);
  first.append({ offset: 0, bytes: bytes("hello ") });
  first.close();
  const next = new SessionLog(folder);
  expect([next.start, next.end]).toEqual([0, 6]);
  next.append({ offset: 3, bytes: bytes("lo world") });
  next.append({ offset: 0, bytes: bytes("hello") });
  expect(textOf(next)).toBe("hello world");
  expect(textOf(next, 6)).toBe("world");
  next.close();
});

test("SessionLog takes what a killed daemon half wrote for what it is", () => {
  const first = new SessionLog(folder);
  first.append({ offset: 0, bytes: bytes("hello") });
  first.close();
  truncateSync(join(folder, readdirSync(folder)[0] ?? ""), 3);
  const next = new SessionLog(folder);
  expect(next.end).toBe(3);
  next.append({ offset: 3, bytes: bytes("p!") });
  expect(textOf(next)).toBe("help!");
  next.close();
});

test("SessionLog says what is missing, and keeps what came after", () => {
  const log = new SessionLog(folder);
  log.append({ offset: 0, bytes: bytes("one") });
  log.append({ offset: 100, bytes: bytes("two") });
  expect(log.missing_bytes).toBe(97);
  expect(log.read(50)).toEqual({ offset: 100, bytes: Buffer.from("two") });
  log.close();
});

test("SessionLog keeps the last of endless output", () => {
  const log = new SessionLog(folder);
  const block = new Uint8Array(MiB);
  for (let offset = 0; offset < 100 * MiB; offset += MiB) log.append({ offset, bytes: block });
  // A hostile guest may claim any offsets.
  for (let offset = 1e9; offset < 1.1e9; offset += 1e6) log.append({ offset, bytes: bytes("x") });
  expect(readdirSync(folder).length).toBeLessThanOrEqual(8);
  expect(log.end).toBe(1.099e9 + 1);
  log.close();
});

test("SessionLog wakes those who wait for more", async () => {
  const log = new SessionLog(folder);
  const { grown } = log;
  log.append({ offset: 0, bytes: bytes("x") });
  await grown;
  log.close();
});

test("startOfLast() finds where the last lines begin, also of one that is not whole yet", () => {
  const log = new SessionLog(folder);
  expect(log.startOfLast(3)).toBe(0);
  log.append({ offset: 0, bytes: bytes("one\ntwo\n") });
  log.append({ offset: 8, bytes: bytes("three\nfo") });
  const last = (count: number) => textOf(log, log.startOfLast(count));
  expect(last(0)).toBe("");
  expect(last(1)).toBe("fo");
  expect(last(2)).toBe("three\nfo");
  log.append({ offset: 16, bytes: bytes("ur\n") });
  expect(last(1)).toBe("four\n");
  expect(last(3)).toBe("two\nthree\nfour\n");
  expect(last(99)).toBe("one\ntwo\nthree\nfour\n");
  log.close();
});
