import { expect, test } from "bun:test";
import { endText, parseForward } from "./spec.ts";

const both = (text: string): string => {
  const { local, remote } = parseForward(text);
  return `${endText(local, "here")} ${endText(remote, "there")}`;
};

test("parseForward() takes ports, addresses and sockets on either side", () => {
  expect(both("80")).toBe("here:80 there:80");
  expect(both("8080:80")).toBe("here:8080 there:80");
  expect(both("0.0.0.0:8080:80")).toBe("0.0.0.0:8080 there:80");
  expect(both("8080:10.0.0.7:80")).toBe("here:8080 10.0.0.7:80");
  expect(both("127.0.0.1:8080:localhost:80")).toBe("127.0.0.1:8080 localhost:80");
  expect(both("[::1]:8080:[::1]:80")).toBe("[::1]:8080 [::1]:80");
  expect(both("8080:/run/x.sock")).toBe("here:8080 /run/x.sock");
  expect(both("./x.sock:/run/x.sock")).toBe("./x.sock /run/x.sock");
  expect(both("/tmp/x:[::]:443")).toBe("/tmp/x [::]:443");
});

test("parseForward() refuses the rest", () => {
  for (const text of [
    "",
    "x",
    "80:",
    ":80",
    "70000:80",
    "0:80",
    "1:2:3",
    "/a",
    "a:b:c",
    "::1:80:80",
  ]) {
    expect(() => parseForward(text)).toThrow("expected LOCAL:REMOTE");
  }
});
