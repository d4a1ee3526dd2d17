import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { parseAddress } from "#net/address.ts";
import { parsePolicyTable, readLog } from "./log.ts";
import { judgeName, matchesName, parsePolicy } from "./policy.ts";
import { Reached } from "./reached.ts";
import { nameSet, renderPolicy } from "./table.ts";

function targetOf(text: string) {
  const [rule] = parsePolicy([text]).rules;
  if (!rule) throw new Error("no rule");
  return rule.target;
}

test("parsePolicy() takes names, suffixes, addresses and blocks, each with a port or without", () => {
  expect(
    parsePolicy(["Example.com.", "*.example.com:443", "192.0.2.7:80", "10.0.0.0/8"]) as object,
  ).toEqual({
    rules: [
      { text: "Example.com.", target: { kind: "name", name: "example.com", isSuffix: false } },
      {
        text: "*.example.com:443",
        target: { kind: "name", name: "example.com", isSuffix: true },
        port: 443,
      },
      { text: "192.0.2.7:80", target: { kind: "block", block: "192.0.2.7/32" }, port: 80 },
      { text: "10.0.0.0/8", target: { kind: "block", block: "10.0.0.0/8" } },
    ],
  });
  expect(parsePolicy([])).toEqual({ rules: [] });
  const six = ["2001:DB8::7", "[2001:db8::7]:443", "[2001:db8::7]", "fd00::/8", "[fd00::/8]:80"];
  expect(parsePolicy(six).rules.map(({ target, port }) => ({ target, port })) as object).toEqual([
    { target: { kind: "block", block: "2001:db8::7/128" }, port: undefined },
    { target: { kind: "block", block: "2001:db8::7/128" }, port: 443 },
    { target: { kind: "block", block: "2001:db8::7/128" }, port: undefined },
    { target: { kind: "block", block: "fd00::/8" }, port: undefined },
    { target: { kind: "block", block: "fd00::/8" }, port: 80 },
  ]);
});

test("parsePolicy() refuses what could mean something else", () => {
  const cases: [string, string][] = [
    ["", "invalid_argument"],
    ["example.com:0", "invalid_argument"],
    ["example.com:65536", "invalid_argument"],
    ["example.com:http", "invalid_argument"],
    ["10.0.0", "invalid_argument"],
    ["10.0.0.256", "invalid_argument"],
    ["10.0.0.0/33", "invalid_argument"],
    ["*", "invalid_argument"],
    ["a.*.com", "invalid_argument"],
    ["exa mple.com", "invalid_argument"],
    ["a; accept", "invalid_argument"],
    ["https://example.com", "invalid_argument"],
    ["web.vm", "invalid_argument"],
    ["fd00::1:443:", "invalid_argument"],
    ["[fd00::1", "invalid_argument"],
    ["[fd00::1]443", "invalid_argument"],
    ["[fd00::1]:0", "invalid_argument"],
    ["[example.com]:443", "invalid_argument"],
    ["fd00::/129", "invalid_argument"],
    ["x".repeat(400), "invalid_argument"],
  ];
  for (const [text, code] of cases) {
    try {
      parsePolicy([text]);
      throw new Error(`"${text}" was taken`);
    } catch (error) {
      expect(error).toBeInstanceOf(BangerError);
      expect({ text, code: (error as BangerError).code as string }).toEqual({ text, code });
    }
  }
  const many = Array.from({ length: 65 }, () => "a.test");
  expect(() => parsePolicy(many)).toThrow("at most 64");
});

/** With its port, if it has one. */
const RULE_LINE =
  /^(?:ip daddr (?:@name_[0-9a-f]{12}|[\d.]+\/\d+)|ip6 daddr [\da-f:.]+\/\d+)(?: meta l4proto (?:udp|\{ tcp, udp \}) th dport (\d+))? counter name rule_0 goto (?:allow|deny)$/;

test("whatever is taken can stand in a rule set", () => {
  const machine = {
    machineId: "m",
    tap: "bgr-x",
    address: parseAddress("10.241.0.2"),
    addresses6: [parseAddress("fd00::2")],
    bridge: "banger0",
    gateway: parseAddress("10.241.0.1"),
    dnsPort: 53,
    subnets: [],
    proxy: { port: 4000, addresses: [parseAddress("10.241.0.1")] },
  };
  const ipV6 = fc.ipV6().map((address) => `[${address}]`);
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.domain(), fc.ipV4(), ipV6),
      fc.nat(70_000),
      (text, port) => {
        for (const rule of [`${text}:${port}`, `deny ${text}:${port}`, `${text}:${port}/udp`]) {
          let policy: ReturnType<typeof parsePolicy>;
          try {
            policy = parsePolicy([rule]);
          } catch (error) {
            expect(error).toBeInstanceOf(BangerError);
            continue;
          }
          const lines = renderPolicy(machine, policy).split("\n");
          const [line = ""] = lines.filter((each) => each.includes("counter name rule_0"));
          const [first] = policy.rules;
          const isProxied = first?.target.kind === "name" && !first.isUdp;
          expect(lines.some((each) => each.includes("dnat ip to 10.241.0.1:4000"))).toBe(isProxied);
          if (isProxied) expect(line).toBe("");
          else {
            const found = RULE_LINE.exec(line);
            expect({ line, dport: found?.[1], isFound: found !== null }).toEqual({
              line,
              dport: first?.port?.toString(),
              isFound: true,
            });
          }
        }
      },
    ),
    // "::0" is an address without a port.
    { examples: [[":", 0]] },
  );
});

test("a suffix matches what is below it, and a name itself only", () => {
  const suffix = targetOf("*.example.com");
  expect(matchesName(suffix, "a.b.example.com")).toBe(true);
  expect(matchesName(suffix, "example.com")).toBe(false);
  expect(matchesName(suffix, "badexample.com")).toBe(false);
  expect(matchesName(targetOf("example.com"), "example.com")).toBe(true);
  expect(matchesName(targetOf("example.com"), "a.example.com")).toBe(false);
  expect(matchesName(targetOf("192.0.2.1"), "192.0.2.1")).toBe(false);
  expect(judgeName(parsePolicy(["0.0.0.0/0:443"]), "b.test")).toBe("allow");
  expect(judgeName(parsePolicy(["10.0.0.0/8", "a.test"]), "b.test")).toBe("deny");
});

test("a set of addresses keeps its name from one version of a policy to the next", () => {
  const [a, b, c] = [targetOf("a.test"), targetOf("a.test:443"), targetOf("*.a.test")];
  if (a.kind !== "name" || b.kind !== "name" || c.kind !== "name") throw new Error("no names");
  expect(nameSet(a, 4)).toBe(nameSet(b, 4));
  expect(nameSet(a, 4)).not.toBe(nameSet(c, 4));
  expect(nameSet(a, 4)).not.toBe(nameSet(a, 6));
});

test("parsePolicyTable() lives through whatever it is given", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), (objects) => {
      const table = parsePolicyTable(objects);
      readLog(table, {
        policy: parsePolicy([]),
        names: [],
        nameOf: new Map(),
        reached: new Reached(),
        now_ms: 0,
      });
    }),
  );
});
