/** The daemon's DNS server as guests and the host's own programs see it, asked with dig. */
import { expect } from "bun:test";
import { newId } from "#base/id.ts";
import { attach, detach } from "#test/net-calls.ts";
import { type NetLab, OUTSIDE } from "#test/net-lab.ts";
import { type MakeLab, networkTest } from "#test/net-twice.ts";

const NEEDS = ["dig"];
const GATEWAY = "10.241.0.1";
const RESOLVER_PORT = 5300;

interface Lab extends AsyncDisposable {
  lab: NetLab;
  daemon: ReturnType<NetLab["daemon"]>;
  asked: string[];
  before: string;
}

async function labWithNames(makeLab: MakeLab): Promise<Lab> {
  const lab = await makeLab();
  const asked = await lab.resolver(RESOLVER_PORT);
  const before = await lab.snapshot();
  const resolvers = [{ address: OUTSIDE, port: RESOLVER_PORT }];
  const daemon = lab.daemon({ dns: { resolvers } });
  return { lab, daemon, asked, before, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

async function dig(lab: NetLab, from: string, ...words: string[]): Promise<string> {
  const argv = ["dig", "+tries=4", "+time=15", `@${GATEWAY}`, ...words];
  return (await lab.run(from, argv)).trim();
}

function status(output: string): string | undefined {
  return /status: ([A-Z]+)/.exec(output)?.[1];
}

networkTest(
  "a guest resolves machines and the rest of the world at its gateway",
  async (makeLab) => {
    await using all = await labWithNames(makeLab);
    const { lab, daemon, asked } = all;
    const [a, b] = [newId(), newId()];
    const first = await attach(daemon, a);
    expect(first.dns as string[]).toEqual([GATEWAY]);
    expect(first.warnings).toEqual([]);
    await lab.plug("a", first);
    await attach(daemon, b);
    await daemon.call({ op: "names", names: { web: "10.241.0.3" } });

    expect(await dig(lab, "a", "+short", "web.vm")).toBe("10.241.0.3");
    expect(await dig(lab, "a", "+short", "+tcp", "WEB.vm")).toBe("10.241.0.3");
    expect(await dig(lab, "a", "+short", "-x", "10.241.0.3")).toBe("web.vm.");
    expect(status(await dig(lab, "a", "nobody.vm"))).toBe("NXDOMAIN");
    expect(status(await dig(lab, "a", "AAAA", "web.vm"))).toBe("NOERROR");
    expect(await dig(lab, "a", "+noedns", "+short", "web.vm")).toBe("10.241.0.3");
    expect(status(await dig(lab, "a", "+edns=3", "+noednsnegotiation", "web.vm"))).toBe("BADVERS");
    expect(asked).toEqual([]);

    expect(await dig(lab, "a", "+short", "shop.test")).toBe(`cdn.test.\n${OUTSIDE}`);
    expect(status(await dig(lab, "a", "gone.test"))).toBe("NXDOMAIN");
    // Too long for a datagram: dig asks again over TCP, and so does the server.
    const big = (await dig(lab, "a", "+short", "big.test")).split("\n");
    expect(big.filter((line) => line.startsWith("198.51.100."))).toHaveLength(100);
    expect(asked).toEqual([
      "shop.test",
      "gone.test",
      "big.test",
      "big.test",
      "big.test",
      "big.test",
    ]);

    for (const id of [a, b]) await detach(daemon, id);
    expect(await lab.snapshot()).toBe(all.before);
    // The bridge is made anew, and the server is still there.
    await lab.plug("c", await attach(daemon, newId()));
    expect(await dig(lab, "c", "+short", "web.vm")).toBe("10.241.0.3");
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "the host learns the machines' names, and the outside nothing",
  async (makeLab) => {
    await using all = await labWithNames(makeLab);
    const { lab, daemon, asked } = all;
    await attach(daemon, newId());
    await daemon.call({ op: "names", names: { web: "10.241.0.2" } });
    expect(await dig(lab, "host", "+short", "web.vm")).toBe("10.241.0.2");
    expect(status(await dig(lab, "host", "shop.test"))).toBe("REFUSED");
    await lab.ip("outside", `route add 10.241.0.0/24 via 198.51.100.1`);
    const silence = await lab.run("outside", [
      "sh",
      "-c",
      `dig +tries=1 +time=1 @${GATEWAY} web.vm; true`,
    ]);
    expect(silence).toMatch(/timed out|no servers could be reached/);
    expect(asked).toEqual([]);
  },
  { needs: NEEDS },
);

networkTest(
  "a resolver that is gone is an answer, not a silence",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon({ dns: { resolvers: [{ address: OUTSIDE, port: 5399 }] } });
    await lab.plug("a", await attach(daemon, newId()));
    expect(status(await dig(lab, "a", "shop.test"))).toBe("SERVFAIL");
  },
  { needs: NEEDS },
);

networkTest(
  "a port 53 that somebody else has leaves machines with the host's resolvers",
  async (makeLab) => {
    await using lab = await makeLab();
    const first = lab.daemon({ dns: { resolvers: [] } });
    const second = lab.daemon({ dns: { resolvers: [] } });
    expect((await attach(first, newId())).dns as string[]).toEqual([GATEWAY]);
    const { dns, warnings } = await attach(second, newId());
    expect(dns as string[]).not.toContain(GATEWAY);
    expect(warnings.join()).toContain(`${GATEWAY}:53 is in use`);
  },
  { needs: NEEDS },
);

networkTest(
  "datagrams reach a published port of a guest",
  async (makeLab) => {
    await using all = await labWithNames(makeLab);
    const { lab, daemon } = all;
    const id = newId();
    const attachment = await attach(daemon, id);
    await lab.plug("a", attachment);
    await lab.serveDatagrams("a", 9999);
    const [port] = await daemon.call<{ hostPort: number }[]>({
      op: "publish",
      machineId: id,
      address: "10.241.0.2",
      ports: [{ hostPort: 0, guestPort: 9999, protocol: "udp" }],
    });
    expect(await lab.askDatagram("host", "127.0.0.1", port?.hostPort ?? 0)).toBe("heard hello");
  },
  { needs: NEEDS },
);
