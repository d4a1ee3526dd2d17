import { expect, test } from "bun:test";
import fc from "fast-check";
import { encodeFrame, encodeSync, type Frame, FrameParser, HelloHunter } from "./frame.ts";
import { FrameType, MAX_PAYLOAD_BYTES, NONCE_BYTES, SYNC_PADDING_BYTES } from "./protocol.ts";

const frame = fc.record({
  type: fc.integer({ min: 1, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  stream: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 500 }),
});

/** Pushes `bytes` in pieces of the given lengths; gives copies of the frames. */
function parse(bytes: Uint8Array, pieces: readonly number[]): Frame[] {
  const parser = new FrameParser();
  const frames: Frame[] = [];
  const keep = (one: Frame) => frames.push({ ...one, payload: one.payload.slice() });
  let at = 0;
  for (const piece of pieces) {
    parser.push(bytes.subarray(at, at + piece), keep);
    at += piece;
  }
  parser.push(bytes.subarray(at), keep);
  return frames;
}

test("frames come back whole, however the bytes are cut, with padding between them", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(frame, fc.integer({ min: 0, max: 20 })), { maxLength: 10 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 40 }),
      (list, pieces) => {
        const bytes = Buffer.concat(
          list.flatMap(([one, padding]) => [new Uint8Array(padding), encodeFrame(one.type, one)]),
        );
        expect(parse(bytes, pieces)).toEqual(list.map(([one]) => one));
      },
    ),
  );
});

test("a frame of the largest size comes back", () => {
  const payload = crypto.getRandomValues(new Uint8Array(MAX_PAYLOAD_BYTES));
  const bytes = encodeFrame(FrameType.data, { stream: 1, payload });
  expect(parse(bytes, [8, 1, 5000])[0]?.payload).toEqual(payload);
});

test("a frame that is too long, or has no trailer, is refused", () => {
  const long = Uint8Array.from([FrameType.data, 0, 0xff, 0xff, 1, 0, 0, 0]);
  expect(() => parse(long, [])).toThrow("frame too long");
  expect(() => parse(long, [1, 2, 3])).toThrow("frame too long");
  const cut = encodeFrame(FrameType.data, { stream: 1, payload: new Uint8Array(4) });
  cut[cut.length - 1] = 0;
  expect(() => parse(cut, [])).toThrow("without trailer");
});

test("the padding of a sync voids any half frame", () => {
  fc.assert(
    fc.property(fc.nat({ max: MAX_PAYLOAD_BYTES }), fc.nat(), (length, cut) => {
      const half = encodeFrame(FrameType.open, { payload: new Uint8Array(length).fill(1) });
      const bytes = half.subarray(0, cut % half.length);
      const whole = Buffer.concat([bytes, encodeSync(new Uint8Array(NONCE_BYTES))]);
      const types: number[] = [];
      try {
        new FrameParser().push(whole, ({ type }) => types.push(type));
      } catch {
        // Out of step, and so not delivered.
      }
      expect(types).not.toContain(FrameType.open);
    }),
    { numRuns: 50 },
  );
  expect(SYNC_PADDING_BYTES).toBeGreaterThan(MAX_PAYLOAD_BYTES + 1);
});

test("the hello is found behind any noise, however it is cut", () => {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const payload = Buffer.concat([nonce, Uint8Array.from([1, 2, 3])]);
  const hello = encodeFrame(FrameType.hello, { payload });
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }),
      (noise, pieces) => {
        const bytes = Buffer.concat([noise, nonce, noise, hello, noise]);
        const hunter = new HelloHunter(nonce);
        const found: Uint8Array[] = [];
        let at = 0;
        for (const piece of [...pieces, bytes.length]) {
          const chunk = bytes.subarray(at, at + piece);
          at += piece;
          const rest = found.length > 0 ? chunk : hunter.push(chunk);
          if (rest) found.push(rest);
        }
        const all = Buffer.concat(found);
        expect(all.subarray(0, hello.length).equals(hello)).toBe(true);
      },
    ),
  );
});
