import { expect, test } from "bun:test";
import fc from "fast-check";
import { boundaryOf, readParts } from "./multipart.ts";

interface Whole {
  name: string | undefined;
  filename: string | undefined;
  bytes: Buffer;
}

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function parse(bytes: Uint8Array, boundary: string, size = 7): Promise<Whole[]> {
  const parts: Whole[] = [];
  for await (const { name, filename, data } of readParts(chunked(bytes, size), boundary)) {
    parts.push({ name, filename, bytes: Buffer.concat(await Array.fromAsync(data)) });
  }
  return parts;
}

async function failureOf(text: string): Promise<string> {
  return await parse(Buffer.from(text), "B").then(
    () => "none",
    (error: Error) => error.message,
  );
}

test("readParts() gives what fetch() has put into a form, in chunks of any size", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.string(), fc.uint8Array({ maxLength: 300 })), { maxLength: 4 }),
      fc.integer({ min: 1, max: 64 }),
      async (files, size) => {
        const form = new FormData();
        for (const [name, bytes] of files) {
          form.append(
            "file",
            new Blob([new Uint8Array(bytes)]),
            `/tmp/${Buffer.from(name).toString("hex")}`,
          );
        }
        const request = new Request("http://x/", { method: "POST", body: form });
        const boundary = boundaryOf(request.headers.get("Content-Type") ?? "") ?? "";
        const parts = await parse(new Uint8Array(await request.arrayBuffer()), boundary, size);
        expect(parts.map(({ bytes }) => [...bytes])).toEqual(files.map(([, bytes]) => [...bytes]));
        expect(parts.every(({ name }) => name === "file")).toBe(true);
        expect(parts.map(({ filename }) => filename)).toEqual(
          files.map(([name]) => `/tmp/${Buffer.from(name).toString("hex")}`),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test("readParts() keeps lines that look like a boundary and are none", async () => {
  const body =
    '--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n--B\r\n-\r\n--b\r\n--B--';
  const [part] = await parse(Buffer.from(body.replace("\r\n\r\n--B", "\r\n\r\n -B")), "B");
  expect(part?.bytes.toString()).toBe(" -B\r\n-\r\n--b");
});

test("readParts() reads quoted, percent-encoded and RFC 5987 file names", async () => {
  const cases: [string, string][] = [
    ['filename="a%22b"', 'a"b'],
    ['filename="a\\"b"', 'a"b'],
    ["filename=\"x\"; filename*=utf-8''%C3%BC.txt", "ü.txt"],
  ];
  for (const [parameter, expected] of cases) {
    const text = `--B\r\ncontent-disposition: form-data; name="file"; ${parameter}\r\n\r\n\r\n--B--`;
    expect((await parse(Buffer.from(text), "B"))[0]?.filename).toBe(expected);
  }
});

test("readParts() refuses what ends early, and headers without end", async () => {
  expect(await failureOf("")).toBe("truncated multipart body");
  expect(await failureOf("--B\r\nContent-Disposition: form-data\r\n\r\nab")).toBe(
    "truncated multipart body",
  );
  expect(await failureOf("--Bxx")).toContain("invalid multipart body");
  expect(await failureOf(`--B\r\n${"x".repeat(20_000)}`)).toBe("multipart headers too long");
});
