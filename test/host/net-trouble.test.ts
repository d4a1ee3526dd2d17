/** What goes wrong on other people's computers: one clear error each, and nothing left half done. */
import { expect } from "bun:test";
import type { Check } from "#base/check.ts";
import { newId } from "#base/id.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetDaemon, NetLab, OUTSIDE } from "#test/net-lab.ts";

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
    detail: 'The rules for "banger0" are gone',
    fix: expect.stringContaining("banger daemon restart"),
  });
  expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
  await daemon.call({ op: "resume" });
  expect(await lab.run("host", ["nft", "-s", "list", "tables"])).toBe(made);
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  for (const id of [a, b]) await detach(daemon, id);
  expect(await lab.snapshot()).toBe(before);
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
