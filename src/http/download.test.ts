import { afterAll, expect, test } from "bun:test";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BangerError } from "#base/error.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type RangeRequest, readRange, readSmall, resumed } from "./download.ts";

const BYTES = Buffer.from(new Uint8Array(1_000_000).map((_, at) => (at * 31 + (at >> 9)) & 0xff));
const { signal } = new AbortController();

/** What the server does with the next requests; the header Range of each request. */
let answers: ((response: ServerResponse, offset: number) => void)[] = [];
let asked: (string | undefined)[] = [];
const server = createServer((request, response) => {
  const { range } = request.headers;
  asked.push(range);
  const answer = answers.shift() ?? whole;
  answer(response, Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
afterAll(() => server.close());
const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/file`);
const wrongSize = (actual: number): BangerError =>
  new BangerError("integrity", `Cannot use it: it has ${actual} bytes`);
const expected = { size: BYTES.length, wrongSize };

function whole(response: ServerResponse): void {
  response.writeHead(200, { "content-length": BYTES.length }).end(BYTES);
}

function part(response: ServerResponse, offset: number): void {
  const range = `bytes ${offset}-${BYTES.length - 1}/${BYTES.length}`;
  response.writeHead(206, { "content-range": range }).end(BYTES.subarray(offset));
}

/** Sends half of what is left, with its true length, and breaks off. */
function cut(response: ServerResponse, offset: number): void {
  const rest = BYTES.subarray(offset);
  const range = `bytes ${offset}-${BYTES.length - 1}/${BYTES.length}`;
  const head = offset > 0 ? { "content-range": range } : {};
  response.writeHead(offset > 0 ? 206 : 200, { ...head, "content-length": rest.length });
  response.write(rest.subarray(0, rest.length / 2), () => setTimeout(() => response.destroy(), 20));
}

async function download(request: Partial<RangeRequest> = {}): Promise<Buffer> {
  asked = [];
  const attempt = (offset: number) =>
    readRange({ url, action: "get it", signal, offset, expected, ...request });
  const size = request.expected === undefined && "expected" in request ? undefined : BYTES.length;
  const options = { signal, delay_ms: 1, size };
  return Buffer.concat(await Array.fromAsync(resumed(attempt, options)));
}

test("a file that is cut twice comes whole, each part once", async () => {
  answers = [cut, cut, part];
  expect((await download()).equals(BYTES)).toBe(true);
  expect(asked[0]).toBeUndefined();
  expect(asked).toHaveLength(3);
  expect(Number(asked[2]?.slice(6, -1))).toBeGreaterThan(Number(asked[1]?.slice(6, -1)));
});

test("a server that does not heed Range, or refuses it, sends the whole again", async () => {
  answers = [cut, whole];
  expect((await download()).equals(BYTES)).toBe(true);
  answers = [cut, (response) => void response.writeHead(416).end(), whole];
  expect((await download()).equals(BYTES)).toBe(true);
  expect(asked.map((range) => range !== undefined)).toEqual([false, true, false]);
});

test("the length of a file that nobody knows is the server's word", async () => {
  answers = [cut, part];
  expect((await download({ expected: undefined })).equals(BYTES)).toBe(true);
});

test("another part, another size and a refusal are not tried again", async () => {
  answers = [cut, (response) => part(response, 7)];
  expect((await bangerErrorOf(download())).message).toContain("sent the wrong byte range");
  answers = [(response) => void response.writeHead(200, { "content-length": 3 }).end("one")];
  expect((await bangerErrorOf(download())).message).toBe("Cannot use it: it has 3 bytes");
  answers = [(response) => void response.writeHead(404).end()];
  expect((await bangerErrorOf(download())).code).toBe("not_found");
  expect(asked).toHaveLength(1);
});

test("a server that falls silent is given up, and tried again", async () => {
  const stall = (response: ServerResponse): void => {
    response.writeHead(200, { "content-length": BYTES.length });
    response.write(BYTES.subarray(0, 300_000));
  };
  answers = [stall, part];
  expect((await download({ stallTimeout_ms: 200 })).equals(BYTES)).toBe(true);
  answers = Array.from({ length: 9 }, () => (response: ServerResponse) => {
    response.writeHead(200, { "content-length": 9 }).flushHeaders();
  });
  const error = await bangerErrorOf(
    readSmall({ url, action: "get it", max_bytes: 10, stallTimeout_ms: 100, signal }),
  );
  expect(error).toMatchObject({ code: "timeout", message: expect.stringContaining("no data rec") });
});

test("readSmall() has a cap", async () => {
  answers = [];
  const request = { url, action: "get it", signal };
  const { bytes } = await readSmall({ ...request, max_bytes: BYTES.length });
  expect(BYTES.equals(bytes)).toBe(true);
  const error = await bangerErrorOf(readSmall({ ...request, max_bytes: 100 }));
  expect(error.code).toBe("limit_exceeded");
});
