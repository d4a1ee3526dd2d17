import { expect, test } from "bun:test";
import { Pieces } from "./pieces.ts";

const MIB = 1024 * 1024;

test("a download keeps its bytes in order, and few of them in the page's memory", async () => {
  const pieces = new Pieces();
  const bytes = new Uint8Array(MIB);
  for (let at = 0; at < 30; at++) {
    bytes.fill(at);
    pieces.add(bytes);
    expect(pieces.loose_bytes).toBeLessThan(8 * MIB);
  }
  expect(pieces.size_bytes).toBe(30 * MIB);
  const whole = new Uint8Array(await pieces.blob().arrayBuffer());
  expect(whole.length).toBe(30 * MIB);
  for (let at = 0; at < 30; at++) expect(whole[at * MIB + 5]).toBe(at);
});
