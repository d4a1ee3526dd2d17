import { expect, test } from "bun:test";
import { parsePort, parsePortEnd } from "./ports.ts";

test("parsePort() takes what people know from elsewhere", () => {
  const tcp = { protocol: "tcp" as const };
  expect(parsePort("8080:80")).toEqual({ hostPort: 8080, guestPort: 80, ...tcp });
  expect(parsePort("5353:53/udp")).toEqual({ hostPort: 5353, guestPort: 53, protocol: "udp" });
  expect(parsePort("80")).toEqual({ hostPort: 0, guestPort: 80, ...tcp });
  expect(parsePort(":80")).toEqual({ hostPort: 0, guestPort: 80, ...tcp });
  const everywhere = { hostAddress: "0.0.0.0", guestPort: 80, ...tcp };
  expect(parsePort("0.0.0.0:8080:80")).toEqual({ ...everywhere, hostPort: 8080 });
  expect(parsePort("0.0.0.0::80")).toEqual({ ...everywhere, hostPort: 0 });
  const six = { hostAddress: "::1", hostPort: 8080, guestPort: 80, ...tcp };
  expect(parsePort("[::1]:8080:80/tcp")).toEqual(six);
});

test("parsePort() refuses everything else", () => {
  for (const text of [
    "",
    "http",
    "8080:",
    "8080:0",
    "8080:65536",
    "70000:80",
    "8080:80/sctp",
    "::1:8080:80",
    "localhost:8080:80",
    "127.0.0.1:80",
    "-1:80",
    "8080:80:90:100",
    "8080:80 --net",
  ]) {
    expect(() => parsePort(text)).toThrow(/^invalid (host )?port/);
  }
});

test("parsePortEnd() names the port of this computer, also out of a whole pair", () => {
  expect(parsePortEnd("8080")).toEqual({ hostPort: 8080, protocol: "tcp" });
  expect(parsePortEnd("8080:80")).toEqual({ hostPort: 8080, protocol: "tcp" });
  const udp = { hostAddress: "0.0.0.0", hostPort: 5353, protocol: "udp" as const };
  expect(parsePortEnd("0.0.0.0:5353/udp")).toEqual(udp);
  expect(parsePortEnd("0.0.0.0:5353:53/udp")).toEqual(udp);
  for (const text of ["", "http", "65536", "8080/sctp"]) {
    expect(() => parsePortEnd(text)).toThrow(/^invalid (host )?port/);
  }
});
