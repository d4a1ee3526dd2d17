/** Egress policies as a guest meets them, with real servers and a real resolver behind. */
import { expect } from "bun:test";
import type { PolicyLog } from "#api/network.ts";
import { newId } from "#base/id.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetLab, OUTSIDE } from "#test/net-lab.ts";
import { type MakeLab, networkTest } from "#test/net-twice.ts";

const NEEDS = ["dig", "curl"];
const GATEWAY = "10.241.0.1";
const RESOLVER_PORT = 5300;
/** In the outside: shop.test, api.shop.test, evil.test. */
const [SHOP, API, EVIL] = [OUTSIDE, "198.51.100.3", "198.51.100.4"];
const [HTTP_PORT, OTHER_PORT] = [8080, 8081];

async function policyLab(makeLab: MakeLab) {
  const lab = await makeLab();
  try {
    for (const address of [API, EVIL]) await lab.ip("outside", `addr add ${address}/24 dev eth0`);
    for (const port of [HTTP_PORT, OTHER_PORT]) await lab.serveHttp("outside", port);
    const asked = await lab.resolver(RESOLVER_PORT);
    const dns = { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] };
    return { lab, dns, asked, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a guest gets that looks a name up and asks for a page there; curl's reason when it gets none. */
async function get(lab: NetLab, guest: string, host: string, port = HTTP_PORT): Promise<string> {
  const isAddress = /^[\d.]+$/.test(host);
  const address = isAddress ? host : await resolve(lab, guest, host);
  if (address === "") return "no such name";
  return await getAt(lab, guest, { host, address, port });
}

/** The same of an address that is known. */
async function getAt(
  lab: NetLab,
  guest: string,
  { host, address, port = HTTP_PORT }: { host: string; address: string; port?: number },
): Promise<string> {
  const at = `--resolve ${host}:${port}:${address} http://${host}:${port}/`;
  const script = `curl -sf -m 60 ${at} || echo "curl $?"`;
  const text = (await lab.run(guest, ["sh", "-c", script])).trim();
  return TURNED_AWAY.has(text) ? REFUSED : text;
}

async function resolve(lab: NetLab, guest: string, name: string): Promise<string> {
  const argv = ["dig", "+tries=4", "+time=15", `@${GATEWAY}`, "+short", name];
  const lines = (await lab.run(guest, argv)).trim().split("\n");
  return lines.find((line) => /^[\d.]+$/.test(line)) ?? "";
}

const REFUSED = "refused";
/** curl's status when the connection is refused, reset by the proxy (before or after it sent), or answered with 403. */
const TURNED_AWAY: ReadonlySet<string> = new Set(["curl 7", "curl 55", "curl 56", "curl 22"]);

networkTest(
  "a policy lets through what it names, and turns everything else away at once",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns, asked } = all;
    const daemon = lab.daemon({ dns });
    const before = await lab.snapshot();
    const id = newId();
    const allow = [`shop.test:${HTTP_PORT}`, "*.shop.test"];
    await lab.plug("a", await attach(daemon, id, { allow }));

    // Its address alone opens nothing: the name has to be asked for.
    expect(await get(lab, "a", SHOP)).toBe(REFUSED);
    expect(await get(lab, "a", "shop.test")).toBe("hello");
    expect(await get(lab, "a", "shop.test", OTHER_PORT)).toBe(REFUSED);
    expect(await get(lab, "a", "api.shop.test", OTHER_PORT)).toBe("hello");
    expect(await get(lab, "a", "evil.test")).toBe("no such name");
    expect(await get(lab, "a", EVIL)).toBe(REFUSED);
    // What must not be reached is not asked for either: a question can carry secrets out.
    expect(asked).toEqual(["shop.test", "shop.test", "api.shop.test"]);
    const elsewhere = await lab.run("a", [
      "sh",
      "-c",
      `dig +tries=1 +time=1 @${OUTSIDE} -p 53 evil.test; true`,
    ]);
    expect(elsewhere).not.toContain("status:");
    // The host is no way round: neither its services nor another of its addresses.
    expect(await lab.ask("a", GATEWAY, NO_ANSWER_MS)).toBeUndefined();
    // But the host may ask the machine.
    expect(await lab.ask("host", "10.241.0.2")).toBe(GATEWAY);

    const log = await daemon.call<PolicyLog>({ op: "policyLog", machineId: id });
    expect(log.rules).toEqual([
      { rule: `shop.test:${HTTP_PORT}`, connections: 1 },
      { rule: "*.shop.test", connections: 1 },
    ]);
    expect(log.denied_packets).toBeGreaterThan(3);
    const seen = log.connections.map(({ verdict, address, name, protocol, port }) =>
      [verdict, address, name, protocol, port].join(" "),
    );
    expect(seen).toContain(`allowed ${SHOP} shop.test tcp ${HTTP_PORT}`);
    expect(seen).toContain(`allowed ${API} api.shop.test tcp ${OTHER_PORT}`);
    expect(seen).toContain(`denied ${SHOP} shop.test tcp ${OTHER_PORT}`);
    expect(seen).toContain(`denied ${EVIL}  tcp ${HTTP_PORT}`);
    expect(seen).toContain(`denied ${OUTSIDE} shop.test udp 53`);
    expect(log.names.map(({ name, verdict }) => `${verdict} ${name}`)).toContain(
      "denied evil.test",
    );

    await detach(daemon, id);
    expect(await lab.snapshot()).toBe(before);
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "a policy changes while the machine runs, and no other machine notices",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const daemon = lab.daemon({ dns });
    const [a, b] = [newId(), newId()];
    await lab.plug("a", await attach(daemon, a));
    await lab.plug("b", await attach(daemon, b, { allow: ["198.51.100.0/24:8080"] }));
    expect(await get(lab, "a", EVIL)).toBe("hello");
    expect(await get(lab, "b", EVIL)).toBe("hello");

    // A connection that is open when the policy changes is judged by the new one.
    const download = lab.download("a", EVIL, { port: HTTP_PORT });
    await download.started;
    await daemon.call({ op: "setPolicy", machineId: a, allow: ["shop.test"] });
    expect(await download.outcome).toBe("cut");
    expect(await get(lab, "a", EVIL)).toBe(REFUSED);
    expect(await get(lab, "b", EVIL)).toBe("hello");

    // One whose rule is still there goes on, and so does what its name had led to.
    expect(await get(lab, "a", "shop.test")).toBe("hello");
    const named = { port: HTTP_PORT, name: "shop.test" };
    const kept = lab.download("a", SHOP, named);
    await kept.started;
    await daemon.call({ op: "setPolicy", machineId: a, allow: ["shop.test:8080", "192.0.2.0/24"] });
    expect(await getAt(lab, "a", { host: "shop.test", address: SHOP })).toBe("hello");
    expect(await kept.outcome).toBe("whole");
    const lost = lab.download("a", SHOP, named);
    await lost.started;
    await daemon.call({ op: "setPolicy", machineId: a, allow: ["deny shop.test", "*.test"] });
    expect(await lost.outcome).toBe("cut");
    expect(await get(lab, "a", "shop.test")).toBe("no such name");
    expect(await getAt(lab, "a", { host: "shop.test", address: SHOP })).toBe(REFUSED);
    expect(await get(lab, "a", "evil.test")).toBe("hello");

    await daemon.call({ op: "setPolicy", machineId: a, allow: [] });
    expect(await get(lab, "a", "shop.test")).toBe("no such name");
    expect(await get(lab, "a", SHOP)).toBe(REFUSED);
    await daemon.call({ op: "setPolicy", machineId: a });
    expect(await get(lab, "a", "evil.test")).toBe("hello");
  },
  { needs: NEEDS },
);

networkTest(
  "a policy stands while no daemon runs, and the next one takes it up",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const killed = lab.daemon({ dns });
    const before = await lab.snapshot();
    const id = newId();
    const allow = ["shop.test", API];
    await lab.plug("a", await attach(killed, id, { allow }));
    expect(await get(lab, "a", "shop.test")).toBe("hello");
    const byName = lab.download("a", SHOP, { port: HTTP_PORT, name: "shop.test" });
    const byAddress = lab.download("a", API, { port: HTTP_PORT });
    await Promise.all([byName.started, byAddress.started]);
    await killed.stop();
    // Names need the daemon, addresses do not.
    expect(await byName.outcome).toBe("cut");
    expect(await getAt(lab, "a", { host: "shop.test", address: SHOP })).toBe(REFUSED);
    expect(await get(lab, "a", API)).toBe("hello");
    expect(await get(lab, "a", EVIL)).toBe(REFUSED);
    const daemon = lab.daemon({ dns });
    await daemon.call({ op: "resume", policies: { [id]: allow } });
    expect(await byAddress.outcome).toBe("whole");
    expect(await get(lab, "a", "evil.test")).toBe("no such name");
    expect(await get(lab, "a", "shop.test")).toBe("hello");
    await detach(daemon, id);
    expect(await lab.snapshot()).toBe(before);
  },
  { needs: NEEDS },
);

networkTest(
  "a name that leads to the host itself opens nothing",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const daemon = lab.daemon({ dns });
    const id = newId();
    await lab.plug("a", await attach(daemon, id, { allow: ["home.test"] }));
    expect(await resolve(lab, "a", "home.test")).toBe("127.0.0.1");
    const table = await lab.run("host", ["nft", "list", "table", "inet", `bgr-${id.slice(0, 8)}`]);
    expect(table).not.toContain("127.0.0.1");
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "a name opens neither the host nor what is private; an address does",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const [lan, cloud] = ["192.168.77.9", "169.254.169.254"];
    for (const address of [lan, cloud]) await lab.ip("outside", `addr add ${address}/32 dev eth0`);
    await lab.serveHttp("host", HTTP_PORT);
    const daemon = lab.daemon({ dns });
    const [named, given] = [newId(), newId()];
    await lab.plug("a", await attach(daemon, named, { allow: ["*.test"] }));
    for (const [name, address] of [
      ["host.test", HOST_OUTSIDE],
      ["lan.test", lan],
      ["cloud.test", cloud],
    ] as const) {
      expect(await resolve(lab, "a", name)).toBe(address);
      expect(await get(lab, "a", address)).toBe(REFUSED);
    }
    expect(await get(lab, "a", "shop.test")).toBe("hello");
    const log = await daemon.call<PolicyLog>({ op: "policyLog", machineId: named });
    expect(log.connections).toContainEqual(
      expect.objectContaining({
        verdict: "denied",
        address: lan,
        name: "lan.test",
        port: HTTP_PORT,
      }),
    );

    const allow = [HOST_OUTSIDE, "192.168.77.0/24", `${cloud}:${HTTP_PORT}`];
    await lab.plug("b", await attach(daemon, given, { allow }));
    for (const address of [HOST_OUTSIDE, lan, cloud]) {
      expect(await get(lab, "b", address)).toBe("hello");
    }
  },
  { needs: NEEDS },
);

networkTest(
  "only our own server answers a machine with a policy",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const dig = async (guest: string, server: string, ...more: string[]): Promise<string> => {
      const argv = ["dig", "+tries=1", "+time=1", "+short", ...more, `@${server}`, "evil.test"];
      return await lab.run(guest, ["sh", "-c", `${argv.join(" ")} || true`]);
    };
    const first = lab.daemon({ dns });
    const [denied, open] = [newId(), newId()];
    const attached = await attach(first, denied, { allow: [] });
    await lab.plug("a", attached);
    await lab.plug("b", await attach(first, open));
    const gateway6 = await gateway6Of(lab);
    const foreign6 = await lab.resolver(53, { name: "host", address: gateway6 });
    // Whoever else listens at the gateway over IPv6 is not asked.
    expect(await dig("a", gateway6)).not.toContain(EVIL);
    expect(await dig("b", gateway6)).toContain(EVIL);
    expect(foreign6).toEqual(["evil.test"]);
    for (const more of [[], ["+tcp"]]) expect(await dig("b", GATEWAY, ...more)).toContain(EVIL);

    // Another daemon of this bridge takes the port over, and leaves alone what it does not know.
    await first.stop();
    const second = lab.daemon({ dns });
    await attach(second, newId());
    for (const more of [[], ["+tcp"]]) {
      expect(await dig("a", GATEWAY, ...more)).not.toContain(EVIL);
      expect(await dig("b", GATEWAY, ...more)).toContain(EVIL);
    }
    // The policy's end is seen by the other one as well.
    await second.stop();
    const third = lab.daemon({ dns });
    await third.call({ op: "resume", policies: { [denied]: [] } });
    await third.call({ op: "setPolicy", machineId: denied });
    await third.stop();
    const fourth = lab.daemon({ dns });
    await fourth.call({ op: "resume" });
    expect(await dig("a", GATEWAY)).toContain(EVIL);

    // And somebody else's server, once there is no daemon, is not ours.
    await fourth.call({ op: "setPolicy", machineId: denied, allow: ["shop.test"] });
    expect(await resolve(lab, "a", "shop.test")).toBe(SHOP);
    await fourth.stop();
    const foreign = await lab.resolver(53, { name: "host", address: GATEWAY });
    for (const more of [[], ["+tcp"]]) {
      expect(await dig("a", GATEWAY, ...more)).not.toContain(EVIL);
      expect(await dig("b", GATEWAY, ...more)).toContain(EVIL);
    }
    expect(foreign).toEqual(["evil.test", "evil.test"]);
  },
  { needs: NEEDS, isShort: true },
);

async function gateway6Of(lab: NetLab): Promise<string> {
  const links = await lab.run("host", ["ip", "-json", "-6", "addr", "show", "dev", "banger0"]);
  const [link] = JSON.parse(links) as { addr_info: { local: string; scope: string }[] }[];
  return link?.addr_info.find(({ scope }) => scope === "global")?.local ?? "";
}

networkTest(
  "what a cloud says to its own computers is closed to machines until it is opened",
  async (makeLab) => {
    await using all = await policyLab(makeLab);
    const { lab, dns } = all;
    const cloud = "169.254.169.254";
    const others = ["168.63.129.16", "100.100.100.200"];
    for (const each of [cloud, ...others]) await lab.ip("outside", `addr add ${each}/32 dev eth0`);
    // A proxy on the host itself, as Kubernetes has one.
    await lab.ip("host", "addr add 169.254.20.10/32 dev uplink0");
    await lab.serveHttp("host", HTTP_PORT);
    const daemon = lab.daemon({ dns });
    const id = newId();
    await lab.plug("a", await attach(daemon, id));
    expect(await get(lab, "a", SHOP)).toBe("hello");
    for (const each of [cloud, ...others, "169.254.20.10"]) {
      expect(await get(lab, "a", each)).toBe(REFUSED);
    }
    // But where it is the only resolver, it has to answer questions.
    await lab.resolver(53, { address: cloud });
    const dig = ["dig", "+tries=4", "+time=15", `@${cloud}`, "+short", "evil.test"];
    expect((await lab.run("a", dig)).trim()).toBe(EVIL);
    const setPolicy = (allow: string[]) => daemon.call({ op: "setPolicy", machineId: id, allow });
    await setPolicy(["0.0.0.0/0"]);
    expect(await get(lab, "a", cloud)).toBe(REFUSED);
    await setPolicy(["0.0.0.0/0", `${cloud}:${HTTP_PORT}`]);
    expect(await get(lab, "a", cloud)).toBe("hello");
    await daemon.call({ op: "setPolicy", machineId: id });
    expect(await get(lab, "a", cloud)).toBe(REFUSED);
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "a policy that cannot be kept is refused, and nothing is made",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const before = await lab.snapshot();
    expect(await refused(attach(daemon, newId(), { allow: ["shop.test"] }))).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("shop.test"),
    });
    expect(await lab.snapshot()).toBe(before);
    const id = newId();
    expect(await refused(daemon.call({ op: "setPolicy", machineId: id, allow: [] }))).toMatchObject(
      {
        code: "not_found",
      },
    );
    const user = daemon.call({
      op: "attach",
      request: { machineId: id, mode: "user", allow: [] },
    });
    expect(await refused(user)).toMatchObject({ code: "unsupported" });
    // Addresses need no names.
    await lab.plug("a", await attach(daemon, id, { allow: [`${OUTSIDE}:7777`] }));
    expect(await lab.ask("a", OUTSIDE)).toBe("198.51.100.1");
  },
  { needs: NEEDS },
);
