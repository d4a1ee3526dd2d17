import { expect, test } from "bun:test";
import type { Http2ServerResponse } from "node:http2";
import { HOST, PLACEHOLDER, Site, VALUE } from "#test/intercept.ts";

const BEARER = `Authorization: Bearer ${PLACEHOLDER}`;
const MASKED = "*".repeat(VALUE.length);

for (const version of ["--http1.1", "--http2"]) {
  const name = version.slice(2);

  test(`a value cannot be asked for in halves, over ${name}`, async () => {
    const text = `you sent ${VALUE}`;
    await using site = await Site.open({
      answer: ({ headers: { range } }, response) => {
        const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range ?? "") ?? [];
        if (from !== undefined) response.statusCode = 206;
        response.end(from === undefined ? text : text.slice(Number(from), Number(to) + 1));
      },
    });
    const ranges = ["-H", "Range: bytes=0-15", "-H", 'If-Range: "a"'];
    const { status, body } = await site.curl(version, "-H", BEARER, ...ranges);
    expect([status, body]).toEqual([200, `you sent ${MASKED}`]);
    expect(site.seen[0]?.headers).not.toHaveProperty("range");
    expect(site.seen[0]?.headers).not.toHaveProperty("if-range");
  });

  test(`a part of an answer that nobody asked for is refused, over ${name}`, async () => {
    await using site = await Site.open({
      answer: (_, response) => {
        response.statusCode = 206;
        response.setHeader("content-type", "multipart/byteranges; boundary=x");
        response.end(VALUE.slice(0, 10));
      },
    });
    const { status, body } = await site.curl(version, "-H", "X-Range: bytes=0-9", "-H", BEARER);
    expect(status).toBe(502);
    expect(body).toBe("banger: the server sent a part of the answer, which cannot be searched\n");
  });

  test(`an answer in an encoding that cannot be read is refused, over ${name}`, async () => {
    await using site = await Site.open({
      answer: (_, response) => {
        response.setHeader("content-encoding", "compress");
        response.end(VALUE);
      },
    });
    const { body, status } = await site.curl(version, "-H", BEARER);
    expect(status).toBeGreaterThan(400);
    expect(body).not.toContain(VALUE);
  });

  test(`no header of an answer has the value in its name, over ${name}`, async () => {
    // A value that can be the name of a header.
    const placeholder = "banger_other_0123456789abcdef";
    await using site = await Site.open({
      value: "Ghp-Token-0123",
      secret: { placeholder },
      answer: (_, response) => {
        response.setHeader("x-ghp-token-0123-y", "1");
        response.setHeader("x-kept", "1");
        response.end("fine");
      },
    });
    const { headers, body } = await site.curl(version, "-H", `Authorization: ${placeholder}`);
    expect(body).toBe("fine");
    expect(headers).toContain("x-kept: 1");
    expect(headers.toLowerCase()).not.toContain("ghp-token");
  });

  test(`the value is covered in the trailers of an answer and nothing before the answer is passed on, over ${name}`, async () => {
    await using site = await Site.open({
      answer: (_, response) => {
        early(response);
        response.setHeader("trailer", "x-late");
        response.write("body");
        response.addTrailers({ "x-late": VALUE });
        response.end();
      },
    });
    const { headers, body } = await site.curl(version, "-H", BEARER);
    expect(body).toContain("body");
    expect(`${headers}${body}`).not.toContain(VALUE);
    expect(headers).not.toContain("103");
  });

  test(`a HEAD of what is compressed has no body, over ${name}`, async () => {
    await using site = await Site.open({
      answer: (_, response) => {
        response.setHeader("content-encoding", "gzip");
        response.end();
      },
    });
    const { status, code } = await site.curl(version, "-I", "-H", BEARER, `https://${HOST}/`);
    expect([status, code]).toEqual([200, 0]);
  });
}

test("the value is covered in the reason of an answer", async () => {
  await using site = await Site.open({
    answer: (_, response) => {
      (response as { statusMessage: string }).statusMessage = `No ${VALUE} here`;
      response.end("fine");
    },
  });
  const { headers } = await site.curl("--http1.1", "-H", BEARER);
  expect(headers).toStartWith(`HTTP/1.1 200 No ${MASKED} here\r\n`);
});

function early(response: Http2ServerResponse): void {
  response.writeEarlyHints?.({ link: `</${VALUE}>; rel=preload` });
}
