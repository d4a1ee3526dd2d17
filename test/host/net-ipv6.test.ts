/** IPv6 of machines: where it leads, what a hostile one can do with it, and computers without it. */
import { expect } from "bun:test";
import type { Check } from "#base/check.ts";
import { newId } from "#base/id.ts";
import { testNeeding } from "#test/needs.ts";
import {
  type AttachOptions,
  attach,
  detach,
  NO_ANSWER_MS,
  refused,
  type TapAttachment,
} from "#test/net-calls.ts";
import { HOST_OUTSIDE6, type NetDaemon, NetLab, OUTSIDE, OUTSIDE6 } from "#test/net-lab.ts";
import { networkTest } from "#test/net-twice.ts";

const hostTest = testNeeding("root", "ip", "nft", "dig");
const NEEDS = ["dig"];
const ADVERT = new URL("../support/net-advert.ts", import.meta.url).pathname;
const RESOLVER_PORT = 5300;
const [ROUTER_ADVERT, NEIGHBOR_ADVERT] = ["134", "136"];

/** The attachment of a guest that is plugged in, its address without the prefix. */
async function guest(
  lab: NetLab,
  { daemon, name, ...options }: AttachOptions & { daemon: NetDaemon; name: string },
): Promise<TapAttachment & { id: string; own: string }> {
  const id = newId();
  const attachment = await attach(daemon, id, options);
  await lab.plug(name, attachment);
  return { ...attachment, id, own: attachment.address6?.split("/")[0] ?? "" };
}

networkTest(
  "a machine reaches the outside masqueraded, and nothing of it is left",
  async (makeLab) => {
    await using lab = await makeLab({ uplink6: true });
    const daemon = lab.daemon();
    await lab.run("host", ["sysctl", "-qw", "net.ipv6.conf.uplink0.accept_ra=1"]);
    const before = await lab.snapshot();
    const a = await guest(lab, { daemon, name: "a" });
    expect(a.own).toMatch(/^fd[0-9a-f:]+::af1:2$/);
    expect(await lab.ask("a", a.gateway6 ?? "")).toBe(a.own);
    expect(await lab.ask("a", OUTSIDE6)).toBe(HOST_OUTSIDE6);
    expect(await lab.ask("host", a.own)).toBe(a.gateway6);
    expect(await lab.ask("outside", a.own, NO_ANSWER_MS)).toBeUndefined();
    // A computer that routes goes on listening to its own router, and not to machines.
    const read = (name: string) => lab.run("host", ["sysctl", "-n", `net.ipv6.conf.${name}`]);
    expect(await read("uplink0.accept_ra")).toBe("2\n");
    expect(await read("banger0.accept_ra")).toBe("0\n");
    await detach(daemon, a.id);
    expect(await lab.snapshot()).toBe(before);
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "machines are apart over IPv6 as well, unless they share a network",
  async (makeLab) => {
    await using lab = await makeLab({ uplink6: true });
    const daemon = lab.daemon();
    const a = await guest(lab, { daemon, name: "a", networks: ["blue"] });
    const b = await guest(lab, { daemon, name: "b", networks: ["blue"] });
    const c = await guest(lab, { daemon, name: "c" });
    const d = await guest(lab, { daemon, name: "d", mode: "host" });
    expect(await lab.ask("a", b.own)).toBe(a.own);
    expect(await lab.ask("b", a.own)).toBe(b.own);
    expect(await lab.ask("a", c.own, NO_ANSWER_MS)).toBeUndefined();
    expect(await lab.ask("c", b.own, NO_ANSWER_MS)).toBeUndefined();
    expect(d.gateway6).toBeUndefined();
    expect(await lab.ask("host", d.own)).toBeDefined();
    // Nor by the way of the host, which routes.
    await lab.ip("d", `route add default via ${a.gateway6}`);
    expect(await lab.ask("d", OUTSIDE6, NO_ANSWER_MS)).toBeUndefined();
    await lab.ip("c", `route add ${b.own}/128 via ${a.gateway6}`);
    expect(await lab.ask("c", b.own, NO_ANSWER_MS)).toBeUndefined();
  },
  { needs: NEEDS },
);

networkTest(
  "a machine sends from its own IPv6 addresses only, and advertises no others",
  async (makeLab) => {
    await using lab = await makeLab({ uplink6: true });
    const daemon = lab.daemon();
    const a = await guest(lab, { daemon, name: "a", networks: ["blue"] });
    const b = await guest(lab, { daemon, name: "b", networks: ["blue"] });
    const stolen = a.own.replace(/2$/, "77");
    const advertise = (type: string, target: string) =>
      lab.run("b", [process.execPath, ADVERT, type, b.own, target]);
    const neighbours = () => lab.run("a", ["ip", "-6", "neigh", "show", "dev", "eth0"]);
    const routes = () => lab.run("a", ["ip", "-6", "route", "show", "default"]);
    expect(await lab.ask("a", b.own)).toBe(a.own);

    await lab.ip("b", `addr add ${stolen}/64 dev eth0 nodad`);
    await lab.ip("b", `route replace default via ${b.gateway6} src ${stolen}`);
    expect(await lab.ask("b", OUTSIDE6, NO_ANSWER_MS)).toBeUndefined();
    // An entry for the gateway, which the advertisement would override, and none for the router.
    expect(await lab.ask("a", a.gateway6 ?? "")).toBe(a.own);
    const before = await neighbours();
    await advertise(NEIGHBOR_ADVERT, a.gateway6 ?? "");
    await advertise(ROUTER_ADVERT, "::");
    // Its own it may advertise, and that it arrives shows that the others would have.
    await lab.ip("a", "neigh flush dev eth0");
    await lab.ip("a", `neigh add ${b.own} lladdr 02:00:00:00:00:99 dev eth0 nud stale`);
    await advertise(NEIGHBOR_ADVERT, b.own);
    await until(async () => (await neighbours()).includes(`${b.own} lladdr ${b.mac}`));
    expect(before).toContain(a.gateway6 ?? "");
    expect(await neighbours()).not.toContain(`${a.gateway6} lladdr ${b.mac}`);
    expect(await routes()).not.toContain("proto ra");

    // Both do harm where nothing stops them.
    await lab.run("host", ["nft", "flush", "chain", "bridge", "banger", "ipv6"]);
    await lab.run("host", ["nft", "add", "rule", "bridge", "banger", "ipv6", "accept"]);
    await lab.ip("a", `neigh replace ${a.gateway6} lladdr 02:00:00:00:00:98 dev eth0 nud stale`);
    await advertise(NEIGHBOR_ADVERT, a.gateway6 ?? "");
    await until(async () => (await neighbours()).includes(`${a.gateway6} lladdr ${b.mac}`));
  },
  { needs: NEEDS },
);

networkTest(
  "a policy holds over IPv6",
  async (makeLab) => {
    await using lab = await makeLab({ uplink6: true });
    await lab.resolver(RESOLVER_PORT);
    const daemon = lab.daemon({ dns: { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] } });
    const a = await guest(lab, { daemon, name: "a", allow: ["six.test:7777"] });
    expect(await lab.ask("a", OUTSIDE6, NO_ANSWER_MS)).toBeUndefined();
    const answer = await lab.run("a", ["dig", `@${a.gateway}`, "+short", "six.test", "aaaa"]);
    expect(answer.trim()).toBe(OUTSIDE6);
    expect(await lab.ask("a", OUTSIDE6)).toBe(HOST_OUTSIDE6);
    // The host is no way round, by none of its addresses.
    expect(await lab.ask("a", a.gateway6 ?? "", NO_ANSWER_MS)).toBeUndefined();
    expect(await lab.ask("a", "fe80::1%eth0", NO_ANSWER_MS)).toBeUndefined();
    await daemon.call({ op: "setPolicy", machineId: a.id, allow: [`[${OUTSIDE6}]:1`] });
    expect(await lab.ask("a", OUTSIDE6, NO_ANSWER_MS)).toBeUndefined();
    await daemon.call({ op: "setPolicy", machineId: a.id, allow: ["2001:db8::/32"] });
    expect(await lab.ask("a", OUTSIDE6)).toBe(HOST_OUTSIDE6);
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "names have IPv6 addresses, and addresses have names",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon({ dns: { resolvers: [] } });
    const a = await guest(lab, { daemon, name: "a" });
    await daemon.call({ op: "names", names: { web: a.own } });
    const dig = async (...words: string[]) =>
      (await lab.run("a", ["dig", `@${a.gateway}`, "+short", ...words])).trim();
    expect(await dig("web.vm", "aaaa")).toBe(a.own);
    expect(await dig("-x", a.own)).toBe("web.vm.");
    // What is ours to name and has no name is asked for nowhere else.
    const other = await lab.run("a", ["dig", `@${a.gateway}`, "-x", a.own.replace(/2$/, "9")]);
    expect(other).toContain("status: NXDOMAIN");
  },
  { needs: NEEDS },
);

networkTest(
  "without a way out a machine gets no route, and without IPv6 no address",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const a = await guest(lab, { daemon, name: "a" });
    expect(a.own).toMatch(/^fd/);
    expect(a.gateway6).toBeUndefined();
    expect(await lab.run("host", ["sysctl", "-n", "net.ipv6.conf.all.forwarding"])).toBe("0\n");
    await detach(daemon, a.id);
    await lab.run("host", ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    const b = await attach(daemon, newId());
    expect(b.address6).toBeUndefined();
    expect(b.warnings).not.toContain("IPv6");
    const checks = await daemon.call<Check[]>({ op: "checks" });
    expect(checks.find(({ id }) => id === "net.ipv6")).toMatchObject({
      status: "ok",
      detail: expect.stringContaining("disabled on the host") as never,
    });
  },
  { needs: NEEDS },
);

hostTest(
  "an IPv6 block that the host reaches elsewhere is refused, and nothing is made",
  async () => {
    await using lab = await NetLab.create({ uplink6: true });
    const before = await lab.snapshot();
    const daemon = lab.daemon({ subnet6: "2001:db8:ff::/64" });
    const error = await refused(attach(daemon, newId()));
    expect(error.code).toBe("conflict");
    expect(error.message).toContain('it overlaps "2001:db8:ff::/64" on "uplink0"');
    expect(error.hint).toContain("network.subnet6");
    expect(await lab.snapshot()).toBe(before);
    const without = lab.daemon({ subnet6: "off" });
    expect((await attach(without, newId())).address6).toBeUndefined();
  },
);

/** The test's own time limit ends the wait. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(20);
}
