/** What a hostile guest can send, and whom it reaches: nothing but its own, and nobody but its own. */
import { expect } from "bun:test";
import { newId } from "#base/id.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetLab, OUTSIDE } from "#test/net-lab.ts";
import { networkTest } from "#test/net-twice.ts";

const GATEWAY = "10.241.0.1";

/** Gives a guest another address in the place of the one that it was given. */
async function pretend(lab: NetLab, guest: string, change: { mac?: string; address?: string }) {
  if (change.mac) await lab.ip(guest, `link set dev eth0 address ${change.mac}`);
  if (change.address) {
    await lab.ip(guest, "addr flush dev eth0", `addr add ${change.address}/24 dev eth0`);
    await lab.ip(guest, `route add default via ${GATEWAY}`);
  }
}

async function allowAnySource(lab: NetLab): Promise<void> {
  await lab.run("host", ["nft", "flush", "chain", "bridge", "banger", "prerouting"]);
}

networkTest("a machine with another hardware address is not heard", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const attachment = await attach(daemon, newId());
  await lab.plug("a", attachment);
  expect(await lab.ask("a", GATEWAY)).toBe("10.241.0.2");
  await pretend(lab, "a", { mac: "02:00:00:00:be:ef" });
  expect(await lab.ask("a", GATEWAY, NO_ANSWER_MS)).toBeUndefined();
  await pretend(lab, "a", { mac: attachment.mac });
  expect(await lab.ask("a", GATEWAY)).toBe("10.241.0.2");
  await pretend(lab, "a", { mac: "02:00:00:00:be:ef" });
  await allowAnySource(lab);
  await lab.ip("host", "neigh flush dev banger0");
  expect(await lab.ask("a", GATEWAY)).toBe("10.241.0.2");
});

networkTest(
  "a machine in host mode gets out through nobody else's address",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const [a, b] = [newId(), newId()];
    await lab.plug("a", await attach(daemon, a, { mode: "host", address: "10.241.0.9" }));
    await attach(daemon, b);
    await pretend(lab, "a", { address: "10.241.0.2" });
    expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
    // It cannot even say that the address is its own: the host's neighbours stay as they were.
    expect(await lab.run("host", ["ip", "neigh", "show", "dev", "banger0"])).not.toContain(
      "10.241.0.2 lladdr",
    );
    await allowAnySource(lab);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  },
  { isShort: true },
);

networkTest("the rules of one machine stay while others come and go", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const [a, b] = [newId(), newId()];
  await lab.plug("a", await attach(daemon, a));
  await attach(daemon, b);
  await detach(daemon, b);
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  await pretend(lab, "a", { address: "10.241.0.77" });
  expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
});

networkTest(
  "machines on a named network reach each other, and no others do",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const before = await lab.snapshot();
    const ids = [newId(), newId(), newId(), newId()];
    const networks = [["blue"], ["blue", "red"], ["red"], []];
    for (const [index, id] of ids.entries()) {
      const attachment = await attach(daemon, id, { networks: networks[index] ?? [] });
      await lab.plug(`m${index}`, attachment);
    }
    const address = (index: number): string => `10.241.0.${index + 2}`;
    const reach = async (from: number, to: number, timeout_ms?: number) =>
      await lab.ask(`m${from}`, address(to), timeout_ms);
    expect(await reach(0, 1)).toBe(address(0));
    expect(await reach(1, 0)).toBe(address(1));
    expect(await reach(2, 1)).toBe(address(2));
    for (const [from, to] of [
      [0, 2],
      [2, 0],
      [0, 3],
      [3, 0],
    ] as const) {
      expect(await reach(from, to, NO_ANSWER_MS)).toBeUndefined();
    }
    expect(await lab.ask("m0", OUTSIDE)).toBe(HOST_OUTSIDE);
    // With what Docker switches on, frames between ports pass the packet rules too.
    await lab.run("host", ["sh", "-c", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"]);
    expect(await reach(0, 1)).toBe(address(0));
    expect(await reach(0, 3, NO_ANSWER_MS)).toBeUndefined();
    for (const id of ids) await detach(daemon, id);
    expect(await lab.snapshot()).toBe(before);
  },
  { isShort: true },
);

networkTest("a machine changes its networks while it runs", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const [a, b] = [newId(), newId()];
  await lab.plug("a", await attach(daemon, a, { networks: ["blue"] }));
  await lab.plug("b", await attach(daemon, b));
  expect(await lab.ask("a", "10.241.0.3", NO_ANSWER_MS)).toBeUndefined();
  await daemon.call({ op: "setNetworks", machineId: b, networks: ["blue"] });
  expect(await lab.ask("a", "10.241.0.3")).toBe("10.241.0.2");
  expect(await daemon.call<string[]>({ op: "membersOf", network: "blue" })).toHaveLength(2);
  await daemon.call({ op: "setNetworks", machineId: a, networks: [] });
  expect(await lab.ask("b", "10.241.0.2", NO_ANSWER_MS)).toBeUndefined();
  expect(await daemon.call<string[]>({ op: "membersOf", network: "blue" })).toEqual([b]);
});

networkTest("a network, address or hardware address that is none is refused", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const before = await lab.snapshot();
  for (const wrong of [
    { networks: ["Blue"] },
    { networks: ['a"; flush ruleset'] },
    { networks: ["a".repeat(32)] },
    { mac: "03:00:00:00:00:01" },
    { mac: "02:00:00:00:00:01 up" },
    { address: "10.241.0.2/24" },
  ]) {
    expect(await refused(attach(daemon, newId(), wrong))).toMatchObject({
      code: "invalid_argument",
    });
  }
  const five = ["a", "b", "c", "d", "e"];
  expect(await refused(attach(daemon, newId(), { networks: five }))).toMatchObject({
    code: "limit_exceeded",
  });
  expect(await lab.snapshot()).toBe(before);
});
