import { expect, test } from "bun:test";
import { parseAddress } from "#net/address.ts";
import { Answers } from "#net/policy/answers.ts";
import { needsProxy, parsePolicy } from "#net/policy/policy.ts";
import { isNameNeeded, judge, type Wish } from "./gate.ts";

const OWN = new Set([parseAddress("203.0.114.9")]);

function wish(more: Partial<Omit<Wish, "address">> & { address?: string } = {}): Wish {
  const { address = "198.51.100.2", ...rest } = more;
  return {
    name: "shop.test",
    port: 443,
    carried: "tls",
    isAnswered: true,
    ...rest,
    address: parseAddress(address),
  };
}

function verdict(rules: string[], more: Parameters<typeof wish>[0] = {}, isAsking = false) {
  return judge(parsePolicy(rules, { isAsking }), wish(more), OWN).verdict;
}

test("the first rule that matches decides, with its port, suffix and verdict", () => {
  expect(verdict(["shop.test"])).toBe("allow");
  expect(verdict(["shop.test:443"])).toBe("allow");
  expect(verdict(["shop.test:80"])).toBe("deny");
  expect(verdict(["*.test"])).toBe("allow");
  expect(verdict(["*.shop.test"])).toBe("deny");
  expect(verdict([])).toBe("deny");
  expect(verdict(["deny shop.test", "*.test"])).toBe("deny");
  expect(verdict(["*.test", "deny shop.test"])).toBe("allow");
  expect(verdict(["deny shop.test:80", "*.test"])).toBe("allow");
  expect(verdict(["deny shop.test", "0.0.0.0/0"])).toBe("deny");
  expect(verdict(["deny shop.test", "0.0.0.0/0"], { name: "other.test" })).toBe("allow");
  expect(verdict(["198.51.100.0/24:443"], { name: undefined })).toBe("allow");
  expect(verdict(["deny 198.51.100.2", "shop.test"])).toBe("deny");
  expect(verdict(["2001:db8::/32"], { address: "2001:db8::5", name: undefined })).toBe("allow");
});

test("a name is not enough: our DNS has to have answered it with this address", () => {
  expect(verdict(["shop.test"], { isAnswered: false })).toBe("deny");
  expect(verdict(["shop.test"], { name: undefined })).toBe("deny");
});

test("a name opens no closed address, in none of its forms; an address rule does", () => {
  const closed = [
    ...["127.0.0.1", "169.254.169.254", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"],
    ...["0.0.0.0", "203.0.114.9", "224.0.0.1", "255.255.255.255", "198.18.0.9"],
    ...["::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "fd00::1", "fe80::1"],
    ...["::10.0.0.1", "2001:0:4136:e378::", "ff02::1"],
  ];
  for (const address of closed) {
    expect({ address, got: verdict(["shop.test"], { address }) }).toEqual({ address, got: "deny" });
    const got = verdict(["shop.test", address], { address });
    expect({ address, got }).toEqual({ address, got: "allow" });
  }
});

test("what is neither TLS nor HTTP needs a rule with its port, and that is no web port", () => {
  expect(verdict(["shop.test"], { carried: "other", port: 22 })).toBe("deny");
  expect(verdict(["shop.test:22"], { carried: "other", port: 22 })).toBe("allow");
  expect(verdict(["shop.test:443"], { carried: "other" })).toBe("deny");
  expect(verdict(["shop.test:123/udp"], { carried: "other", port: 123 })).toBe("deny");
});

test("with --ask, what no rule decides is asked, but for what only an address may open", () => {
  expect(verdict([], {}, true)).toBe("ask");
  expect(verdict(["deny shop.test"], {}, true)).toBe("deny");
  expect(verdict([], { isAnswered: false }, true)).toBe("deny");
  expect(verdict([], { address: "10.0.0.1" }, true)).toBe("deny");
  expect(verdict([], { address: "198.18.0.1", isPlaceholder: true }, true)).toBe("ask");
  expect(verdict(["shop.test"], { address: "198.18.0.1", isPlaceholder: true }, true)).toBe(
    "allow",
  );
});

test("only connections that a rule by name is about are read before they are judged", () => {
  const needed = (rules: string[], port: number) =>
    isNameNeeded(parsePolicy(rules), wish({ port, name: undefined }));
  expect(needed(["198.51.100.2", "shop.test"], 443)).toBe(false);
  expect(needed(["shop.test", "198.51.100.2"], 443)).toBe(true);
  expect(needed(["shop.test:80", "198.51.100.2"], 443)).toBe(false);
  expect(needsProxy(parsePolicy(["198.51.100.2", "time.test:123/udp"]))).toBe(false);
  expect(needsProxy(parsePolicy(["deny shop.test", "0.0.0.0/0"]))).toBe(true);
});

test("an answer counts for this machine, this name and this address, until its time is over", () => {
  let now_ms = 0;
  const answers = new Answers(() => now_ms);
  const [one, two] = [parseAddress("198.51.100.2"), parseAddress("198.51.100.3")];
  answers.add("a.test", [{ address: one, ttl_s: 0 }]);
  answers.add("b.test", [
    { address: one, ttl_s: 600 },
    { address: two, ttl_s: 0 },
  ]);
  expect(answers.namesOf(one)).toEqual(["b.test", "a.test"]);
  expect(answers.addressesOf("b.test")).toEqual([one, two]);
  // A TTL of 0 lasts as long as a program may need to connect, and no longer.
  now_ms = 299_000;
  expect(answers.namesOf(one)).toEqual(["b.test", "a.test"]);
  now_ms = 301_000;
  expect(answers.namesOf(one)).toEqual(["b.test"]);
  expect(answers.namesOf(two)).toEqual([]);
  now_ms = 1_201_000;
  expect(answers.namesOf(one)).toEqual([]);
  expect(new Answers().namesOf(one)).toEqual([]);
  for (let index = 0; index < 10_000; index++) {
    answers.add(`${index}.test`, [{ address: one, ttl_s: 60 }]);
  }
  expect(answers.namesOf(one).length).toBe(4096);
});
