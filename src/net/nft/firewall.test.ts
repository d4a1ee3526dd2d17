import { expect, test } from "bun:test";
import { judgeRuleset, parseRuleset } from "./firewall.ts";

type Item = Record<string, unknown>;

const own = { bridge: "banger0", table: "banger" };
const forward = { name: "FORWARD", hook: "forward", type: "filter", prio: 0 };

function judge(items: Item[]) {
  return judgeRuleset(parseRuleset(JSON.stringify({ nftables: items })), own);
}

function chain(fields: Item): Item {
  return { chain: { family: "ip", table: "filter", ...fields } };
}

function ruleOn(table: string, device: string, inChain = "c"): Item {
  const left = { meta: { key: "iifname" } };
  const expr = [{ match: { op: "==", left, right: device } }, { accept: null }];
  return {
    rule: { family: /^(banger|bgr-)/.test(table) ? "inet" : "ip", table, chain: inChain, expr },
  };
}

test("judgeRuleset() finds a forward chain that drops, and whose it is", () => {
  const drop = chain({ ...forward, policy: "drop" });
  expect(judge([drop])).toMatchObject({
    name: "unknown",
    place: 'chain "FORWARD" of table "ip filter"',
  });
  expect(judge([drop, chain({ name: "DOCKER-USER" })])?.fix).toContain(
    "iptables -I DOCKER-USER -i banger0",
  );
  expect(judge([drop, chain({ name: "ufw-user-forward" })])?.fix).toBe(
    "sudo ufw route allow in on banger0",
  );
  const firewalld = { family: "inet", table: "firewalld", name: "filter_FORWARD" };
  expect(judge([chain({ ...forward, ...firewalld, policy: "accept" })])?.name).toBe("firewalld");
});

test("judgeRuleset() looks at IPv6 where machines have a way out over it", () => {
  const drop = chain({ ...forward, policy: "drop", family: "ip6" });
  const judge6 = (items: Item[]) =>
    judgeRuleset(parseRuleset(JSON.stringify({ nftables: items })), { ...own, hasIpv6: true });
  expect(judge6([drop])).toMatchObject({
    family: 6,
    place: 'chain "FORWARD" of table "ip6 filter"',
  });
  expect(judge6([drop, chain({ name: "DOCKER-USER", family: "ip6" })])?.fix).toContain(
    "sudo ip6tables -I DOCKER-USER -i banger0",
  );
  expect(judge6([drop, chain({ name: "ufw6-user-forward", family: "ip6" })])?.name).toBe("ufw");
  // A permission for the other kind of packets is none.
  expect(judge6([drop, ruleOn("filter", "banger0")])).toBeDefined();
  const accept = ruleOn("filter", "banger0");
  Object.assign(accept["rule"] as Item, { family: "ip6" });
  expect(judge6([drop, accept])).toBeUndefined();
});

test("judgeRuleset() minds neither chains that accept nor our own table", () => {
  expect(judge([])).toBeUndefined();
  expect(judge([chain({ ...forward, policy: "accept" })])).toBeUndefined();
  expect(judge([chain({ ...forward, policy: "drop", family: "ip6" })])).toBeUndefined();
  expect(judge([chain({ name: "OUTPUT", hook: "output", policy: "drop" })])).toBeUndefined();
  const ours = chain({ ...forward, policy: "drop", family: "inet", table: "banger" });
  expect(judge([ours])).toBeUndefined();
});

test("judgeRuleset() is content once another table names the bridge", () => {
  const drop = chain({ ...forward, policy: "drop" });
  expect(judge([drop, ruleOn("filter", "banger0")])).toBeUndefined();
  expect(judge([drop, ruleOn("banger", "banger0")])).toBeDefined();
  expect(judge([drop, ruleOn("filter", "banger01")])).toBeDefined();
});

test("judgeRuleset() finds an input chain that keeps questions from the gateway", () => {
  const drop = chain({ name: "INPUT", hook: "input", policy: "drop" });
  expect(judge([drop])).toMatchObject({ hook: "input", name: "unknown" });
  expect(judge([drop])?.fix).toContain("iptables -I INPUT -i banger0 -p udp --dport 53");
  expect(judge([drop, chain({ name: "ufw-user-forward" })])?.fix).toBe(
    "sudo ufw allow in on banger0 to any port 53",
  );
  expect(judge([drop, ruleOn("filter", "banger0", "ufw-user-input")])).toBeUndefined();
  // One way in is no way out, and a policy of ours is no permission of theirs.
  const forwardDrop = chain({ ...forward, policy: "drop" });
  expect(judge([forwardDrop, ruleOn("filter", "banger0", "INPUT")])).toMatchObject({
    hook: "forward",
  });
  expect(judge([forwardDrop, ruleOn("bgr-abcdefgh", "banger0", "forward")])).toBeDefined();
});
