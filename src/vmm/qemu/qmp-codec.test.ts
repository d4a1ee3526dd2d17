import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { encodeCommand, QmpDecoder } from "./qmp-codec.ts";

const greeting = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}';
const event =
  '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}';
const text = `${greeting}\r\n{"return": {}, "id": 1}\r\n${event}\r\n{"error": {"class": "GenericError", "desc": "no"}, "id": 2}\r\n{"event": "STOP"}\r\n`;
const messages = [
  { kind: "greeting" },
  { kind: "return", id: 1, value: {} },
  { kind: "event", event: "SHUTDOWN", data: { guest: true, reason: "guest-shutdown" } },
  { kind: "error", id: 2, message: "no" },
  { kind: "event", event: "STOP", data: {} },
];

describe("QmpDecoder", () => {
  test("reads what QEMU sends, however it is cut", () => {
    const bytes = Buffer.from(text);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 8 }), (cuts) => {
        const decoder = new QmpDecoder();
        const ends = [...cuts.sort((a, b) => a - b), bytes.length];
        let start = 0;
        const seen = ends.flatMap((end) => {
          const part = decoder.push(bytes.subarray(start, end));
          start = end;
          return part;
        });
        expect(seen).toEqual(messages as typeof seen);
      }),
    );
  });

  test("refuses what is no message, and a line without end", () => {
    for (const line of ["{", "[]", "null", '{"return2": 1}', '{"event": 5}', '{"error": "x"}']) {
      expect(() => new QmpDecoder().push(Buffer.from(`${line}\n`))).toThrow(BangerError);
    }
    const decoder = new QmpDecoder();
    expect(() => {
      for (let index = 0; index < 20; index++) decoder.push(Buffer.alloc(100_000, 97));
    }).toThrow("too long");
  });

  test("fails with our error, or not at all, on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          new QmpDecoder().push(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(BangerError);
        }
      }),
    );
  });
});

test("a command is one line of JSON", () => {
  expect(encodeCommand(3, "stop")).toBe('{"execute":"stop","id":3}\n');
  expect(encodeCommand(4, "migrate", { uri: "exec:cat\n" })).toBe(
    '{"execute":"migrate","arguments":{"uri":"exec:cat\\n"},"id":4}\n',
  );
});
