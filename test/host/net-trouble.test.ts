/** What goes wrong on other people's computers: one clear error each, and nothing left half done. */
import { expect } from "bun:test";
import type { Check } from "#base/check.ts";
import { newId } from "#base/id.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import {
  HOST_OUTSIDE,
  HOST_OUTSIDE6,
  type NetDaemon,
  NetLab,
  OUTSIDE,
  OUTSIDE6,
} from "#test/net-lab.ts";

const hostTest = testNeeding("root", "ip", "nft");

async function checkOf(daemon: NetDaemon, id: string): Promise<Check | undefined> {
  return (await daemon.call<Check[]>({ op: "checks" })).find((check) => check.id === id);
}

hostTest("rules that a firewall's restart has removed are seen, and come back", async () => {
  await using lab = await NetLab.create();
  const daemon = lab.daemon();
  const before = await lab.snapshot();
  const [a, b] = [newId(), newId()];
  await lab.plug("a", await attach(daemon, a));
  await attach(daemon, b, { allow: ["192.0.2.0/24"] });
  const made = await lab.run("host", ["nft", "-s", "list", "tables"]);
  expect(await checkOf(daemon, "net.bridge")).toMatchObject({ status: "ok" });
  await lab.run("host", ["nft", "flush", "ruleset"]);
  expect(await checkOf(daemon, "net.bridge")).toMatchObject({
    status: "warn",
    detail: 'firewall rules for "banger0" are missing',
    fix: expect.stringContaining("banger daemon restart"),
  });
  expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
  await daemon.call({ op: "resume" });
  expect(await lab.run("host", ["nft", "-s", "list", "tables"])).toBe(made);
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  for (const id of [a, b]) await detach(daemon, id);
  expect(await lab.snapshot()).toBe(before);
});

hostTest("machines get by on a narrow wire, and on one that has IPv6 only", async () => {
  await using lab = await NetLab.create({ uplink6: true });
  const daemon = lab.daemon();
  for (const { mtu, hasIpv6 } of [
    { mtu: 1280, hasIpv6: true },
    { mtu: 1200, hasIpv6: false },
  ]) {
    await lab.ip("host", `link set dev uplink0 mtu ${mtu}`);
    const id = newId();
    const attached = await attach(daemon, id);
    expect(attached).toMatchObject({ mtu, warnings: [] });
    expect(attached.address6 !== undefined).toBe(hasIpv6);
    const guest = `narrow${mtu}`;
    await lab.plug(guest, attached);
    expect(await lab.ask(guest, OUTSIDE)).toBe(HOST_OUTSIDE);
    if (hasIpv6) expect(await lab.ask(guest, OUTSIDE6)).toBe(HOST_OUTSIDE6);
    await detach(daemon, id);
  }
  // A VPN that takes the block is told from one's own bridge.
  await lab.ip(
    "host",
    "link add vpn0 type bridge",
    "addr add 10.241.0.9/16 dev vpn0",
    "link set vpn0 up",
  );
  expect(await refused(attach(daemon, newId()))).toMatchObject({
    code: "conflict",
    message: expect.stringContaining('"10.241.0.0/16" on "vpn0"'),
  });
  await lab.ip("host", "link del vpn0", `addr flush dev uplink0 scope global`);
  await lab.ip("host", `link set dev uplink0 mtu 1300`);
  for (const each of [
    `addr add ${HOST_OUTSIDE6}/64 dev uplink0 nodad`,
    `route add default via ${OUTSIDE6}`,
  ])
    await lab.ip("host", each);
  const only6 = await attach(daemon, newId());
  expect(only6.mtu).toBe(1300);
  expect(only6.gateway6).toBeDefined();
  await lab.plug("six", only6);
  expect(await lab.ask("six", OUTSIDE6)).toBe(HOST_OUTSIDE6);
  expect(await lab.ask("six", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
});

hostTest("nothing is left of a policy whose tap or bridge was taken away", async () => {
  await using lab = await NetLab.create();
  const daemon = lab.daemon();
  const before = await lab.snapshot();
  const id = newId();
  for (const device of [`bgr-${id.slice(0, 8)}`, "banger0"]) {
    await attach(daemon, id, { allow: [] });
    await lab.ip("host", `link del ${device}`);
    await detach(daemon, id);
    expect(await lab.snapshot()).toBe(before);
  }
  await attach(daemon, id, { allow: [] });
  await lab.ip("host", `link del bgr-${id.slice(0, 8)}`, "link del banger0");
  await detach(daemon, id);
  expect(await lab.snapshot()).toBe(before);
});

hostTest(
  "a policy that a killed daemon has left goes with the next one, and nobody else's table",
  async () => {
    await using lab = await NetLab.create();
    const before = await lab.snapshot();
    const [gone, kept] = [newId(), newId()];
    const killed = lab.daemon();
    for (const id of [gone, kept]) await attach(killed, id, { allow: [OUTSIDE] });
    await killed.stop();
    // As far as it had come: rules and bridge go by what devices are there.
    await lab.ip("host", `link del bgr-${gone.slice(0, 8)}`);
    await lab.run("host", ["nft", "add table inet bgr-somebody; add table inet bgr-00000000"]);
    const others = ["bgr-somebody", "bgr-00000000"];
    const policies = async () =>
      [...(await lab.run("host", ["nft", "list", "tables", "inet"])).matchAll(/bgr-\S+/g)].flat();
    const daemon = lab.daemon();
    await daemon.call({ op: "resume", policies: { [kept]: [OUTSIDE] } });
    expect((await policies()).toSorted()).toEqual(
      [`bgr-${kept.slice(0, 8)}`, ...others].toSorted(),
    );

    // And with the last machine.
    await attach(daemon, gone, { allow: [OUTSIDE] });
    await daemon.stop();
    await lab.ip("host", `link del bgr-${gone.slice(0, 8)}`);
    await detach(lab.daemon(), kept);
    expect((await policies()).toSorted()).toEqual(others.toSorted());
    for (const each of others) await lab.run("host", ["nft", "delete", "table", "inet", each]);
    expect(await lab.snapshot()).toBe(before);
  },
);

hostTest("a machine that is connected anew without its policy has none", async () => {
  await using lab = await NetLab.create();
  const killed = lab.daemon();
  const id = newId();
  await attach(killed, id, { allow: [] });
  await killed.stop();
  const daemon = lab.daemon();
  await lab.plug("a", await attach(daemon, id));
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
});

hostTest("a policy is undone together with all else when attach is cancelled", async () => {
  await using lab = await NetLab.create();
  const daemon = lab.daemon({ dns: { resolvers: [] } });
  const before = await lab.snapshot();
  let cancelled = 0;
  for (let abortAfter_ms = 0; abortAfter_ms < 30; abortAfter_ms += 3) {
    const id = newId();
    const wish = { abortAfter_ms, allow: ["a.test"], networks: ["blue"] };
    try {
      await attach(daemon, id, wish);
      await detach(daemon, id);
    } catch (error) {
      expect(error).toMatchObject({ code: "cancelled" });
      cancelled++;
    }
    expect(await lab.snapshot()).toBe(before);
  }
  expect(cancelled).toBeGreaterThan(0);
});

hostTest("a kernel without IPv6 has nothing to switch off", async () => {
  await using lab = await NetLab.create();
  const daemon = lab.daemon({ before: "mount -t tmpfs none /proc/sys/net/ipv6" });
  await lab.plug("a", await attach(daemon, newId()));
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
});

hostTest("forwarding that cannot be turned on is an error that says how", async () => {
  await using lab = await NetLab.create();
  const readOnly = "mount --bind -o ro /proc/sys/net/ipv4 /proc/sys/net/ipv4";
  const daemon = lab.daemon({ before: `echo 0 > /proc/sys/net/ipv4/ip_forward; ${readOnly}` });
  const before = await lab.snapshot();
  expect(await refused(attach(daemon, newId()))).toMatchObject({
    code: "permission_denied",
    hint: "sudo sysctl -w net.ipv4.ip_forward=1",
  });
  expect(await lab.snapshot()).toBe(before);
  // Who does not go out needs none.
  await attach(daemon, newId(), { mode: "host" });
});

hostTest(
  "without the tun device or the programs there is one error that says what to do",
  async () => {
    await using lab = await NetLab.create();
    const without = lab.daemon({ before: "mount -t tmpfs none /dev/net" });
    expect(await refused(attach(without, newId()))).toMatchObject({
      code: "unsupported",
      hint: "sudo modprobe tun",
    });
    const nft = (await lab.run("host", ["sh", "-c", "command -v nft"])).trim();
    const bare = lab.daemon({ before: `mount --bind /dev/null ${nft}` });
    expect(await refused(attach(bare, newId()))).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("nft"),
      hint: expect.stringContaining("nftables"),
    });
  },
);
