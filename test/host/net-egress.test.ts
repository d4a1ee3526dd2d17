/** Ways around a policy with rules by name, each of which the proxy has to refuse. */
import { expect } from "bun:test";
import type { Decision } from "#api/network.ts";
import { newId } from "#base/id.ts";
import { attach } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetDaemon, type NetLab, OUTSIDE, OUTSIDE6 } from "#test/net-lab.ts";
import { type MakeLab, networkTest } from "#test/net-twice.ts";

const NEEDS = ["dig", "curl", "openssl", "bash", "busybox"];
const GATEWAY = "10.241.0.1";
const RESOLVER_PORT = 5300;
const [API, EVIL] = ["198.51.100.3", "198.51.100.4"];
/** What programs print when a connection is refused, reset or ended by an alert, or a request by a 403. */
const REFUSED = "refused";

async function egressLab(makeLab: MakeLab) {
  const lab = await makeLab({ uplink6: true });
  try {
    for (const address of [API, EVIL]) await lab.ip("outside", `addr add ${address}/24 dev eth0`);
    for (const port of [80, 8080, 1080]) await lab.serveHttp("outside", port);
    for (const port of [443, 8443]) await lab.serveHttps("outside", port);
    const asked = await lab.resolver(RESOLVER_PORT);
    const dns = { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] };
    return { lab, dns, asked, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}

async function resolve(lab: NetLab, name: string, type = "A", guest = "a"): Promise<string> {
  const argv = ["dig", "+tries=4", "+time=15", `@${GATEWAY}`, "+short", name, type];
  return (await lab.run(guest, argv)).trim();
}

/** A page by curl, which goes to `address` whatever the URL says. */
async function curl(lab: NetLab, url: string, address: string, ...more: string[]) {
  const { hostname, port, protocol } = new URL(url);
  const at = `${hostname}:${port || (protocol === "https:" ? 443 : 80)}:${address}`;
  const argv = ["curl", "-sfk", "-m", "60", "--resolve", at, ...more, url].join(" ");
  const text = (await lab.run("a", ["bash", "-c", `${argv} || echo ${REFUSED}`])).trim();
  return text;
}

/** Sends bytes, as printf writes them, and gives what comes back until the end. */
async function raw(lab: NetLab, [address, port]: [string, number], text: string, l4 = "tcp") {
  const script = `exec 3<>/dev/${l4}/${address}/${port} && printf '${text}' >&3 && timeout 5 cat <&3; true`;
  return await lab.run("a", ["bash", "-c", script]);
}

async function reasons(daemon: NetDaemon): Promise<string[]> {
  const decisions = await daemon.call<Decision[]>({ op: "decisions" });
  return decisions.flatMap(({ verdict, protocol, reason }) =>
    verdict === "denied" && protocol !== "dns" ? [reason ?? ""] : [],
  );
}

networkTest(
  "a rule by name lets TLS and HTTP for this name through, and no way around it",
  async (makeLab) => {
    await using all = await egressLab(makeLab);
    const { lab, dns, asked } = all;
    const daemon = lab.daemon({ dns });
    const [a, b] = [newId(), newId()];
    const allow = [
      "shop.test",
      "six.test",
      "home.test",
      "host.test",
      "api.shop.test:8080",
      "*.nowhere.test",
    ];
    await lab.plug("a", await attach(daemon, a, { allow }));
    await lab.plug("b", await attach(daemon, b, { allow: ["evil.test", "shop.test"] }));

    // An answer that another machine got is none.
    expect(await resolve(lab, "shop.test", "A", "b")).toContain(OUTSIDE);
    expect(await curl(lab, "https://shop.test/", OUTSIDE)).toBe(REFUSED);
    expect(await resolve(lab, "shop.test")).toContain(OUTSIDE);
    for (const url of ["https://shop.test/", "https://shop.test:8443/", "http://shop.test/"]) {
      expect(await curl(lab, url, OUTSIDE)).toBe("hello");
    }
    await reasons(daemon);

    // SNI of another name, or none; plain HTTP where TLS belongs.
    expect(await curl(lab, "https://evil.test/", OUTSIDE)).toBe(REFUSED);
    expect(await curl(lab, `https://${OUTSIDE}/`, OUTSIDE)).toBe(REFUSED);
    expect(await curl(lab, "http://shop.test:443/", OUTSIDE)).toBe(REFUSED);
    expect(await reasons(daemon)).toEqual([
      "no rule allows it",
      "TLS without a server name (SNI)",
      "plain HTTP to port 443 is not allowed",
    ]);

    // Host of another name, in the first request and in a later one; the target in its place.
    expect(await curl(lab, "http://shop.test/", OUTSIDE, "-H", "Host:evil.test")).toBe(REFUSED);
    const good = "GET / HTTP/1.1\\r\\nHost: shop.test\\r\\n\\r\\n";
    const bad = "GET / HTTP/1.1\\r\\nHost: evil.test\\r\\nConnection: close\\r\\n\\r\\n";
    expect((await raw(lab, [OUTSIDE, 80], `${good}${bad}`)).match(/200 OK/g)?.length ?? 0).toBe(0);
    const target = "GET http://evil.test/ HTTP/1.1\\r\\nHost: shop.test\\r\\n\\r\\n";
    expect(await raw(lab, [OUTSIDE, 80], target)).toContain("403 Forbidden");
    // Through an allowed host that would be a proxy, by CONNECT and SOCKS; HTTP/2 without TLS.
    const connect = "CONNECT evil.test:443 HTTP/1.1\\r\\nHost: shop.test\\r\\n\\r\\n";
    expect(await raw(lab, [OUTSIDE, 80], connect)).toContain("403 Forbidden");
    expect(await raw(lab, [OUTSIDE, 1080], "\\x05\\x01\\x00")).toBe("");
    expect(await curl(lab, "http://shop.test/", OUTSIDE, "--http2-prior-knowledge")).toBe(REFUSED);
    expect(await reasons(daemon)).toEqual([
      "no rule allows it",
      expect.stringContaining("evil.test"),
      "the HTTP request's target and Host header differ",
      "HTTP CONNECT is not allowed",
      expect.stringContaining("neither TLS nor HTTP"),
      "HTTP/2 without TLS is not allowed",
    ]);

    // Names that lead to the host, and to its loopback.
    for (const [name, address] of [
      ["home.test", "127.0.0.1"],
      ["host.test", HOST_OUTSIDE],
    ] as const) {
      expect(await resolve(lab, name)).toBe(address);
      expect(await curl(lab, `http://${name}:7777/`, address)).toBe(REFUSED);
    }
    // Another protocol needs a rule with the port, and only that port.
    expect(await resolve(lab, "api.shop.test")).toBe(API);
    expect(await raw(lab, [API, 8080], "\\x01\\x02\\r\\n\\r\\n")).toContain("400 Bad Request");
    expect(await curl(lab, "https://evil.test:8080/", API)).toBe(REFUSED);
    expect(await curl(lab, "https://api.shop.test/", API)).toBe(REFUSED);

    // QUIC, ICMP and the proxy's own port are no ways either.
    await lab.serveDatagrams("outside", 443);
    expect(await raw(lab, [OUTSIDE, 443], "hi", "udp")).toBe("");
    const ping = `busybox ping -c 1 -W 2 ${OUTSIDE} >/dev/null && echo answered || echo ${REFUSED}`;
    const pingFrom = async (from: string) => (await lab.run(from, ["bash", "-c", ping])).trim();
    expect(await pingFrom("outside")).toBe("answered");
    expect(await pingFrom("a")).toBe(REFUSED);
    const table = await lab.run("host", ["nft", "list", "table", "inet", `bgr-${a.slice(0, 8)}`]);
    const [, port = ""] = /dnat ip to 10\.241\.0\.1:(\d+)/.exec(table) ?? [];
    expect(await raw(lab, [GATEWAY, Number(port)], good)).toBe("");

    // IPv6 by the same rules.
    expect(await curl(lab, "https://six.test/", `[${OUTSIDE6}]`)).toBe(REFUSED);
    expect(await resolve(lab, "six.test", "AAAA")).toBe(OUTSIDE6);
    // What offers encrypted names and QUIC is not answered, and neither are denied names.
    const before = asked.length;
    expect(await resolve(lab, "shop.test", "HTTPS")).toBe("");
    expect(await resolve(lab, "evil.test")).toBe("");
    expect(asked.length).toBe(before);
  },
  { needs: NEEDS, isShort: true },
);

networkTest(
  "a destination that no rule decides waits for the user, and nobody outside is asked before",
  async (makeLab) => {
    await using all = await egressLab(makeLab);
    const { lab, dns, asked } = all;
    const daemon = lab.daemon({ dns });
    await lab.plug(
      "a",
      await attach(daemon, newId(), { allow: ["deny evil.test"], isAsking: true }),
    );
    const placeholder = await resolve(lab, "shop.test");
    expect(placeholder).toMatch(/^198\.1[89]\./);
    expect(await curl(lab, "https://shop.test/", placeholder)).toBe(REFUSED);
    expect(await curl(lab, `https://${OUTSIDE}/`, OUTSIDE)).toBe(REFUSED);
    expect(asked).toEqual([]);

    await daemon.call({ op: "answers", names: ["shop.test"] });
    expect(await curl(lab, "https://shop.test/", placeholder)).toBe("hello");
    expect(await curl(lab, "http://shop.test/", placeholder)).toBe("hello");
    expect(asked).toContain("shop.test");
    // The placeholder is for its name only, and a rule that denies asks nobody.
    expect(await curl(lab, "https://api.shop.test/", placeholder)).toBe(REFUSED);
    expect(await resolve(lab, "evil.test")).toBe("");
    const decisions = await daemon.call<Decision[]>({ op: "decisions" });
    const told = decisions.map(({ verdict, protocol, name }) => `${verdict} ${protocol} ${name}`);
    expect(told).toContain("asked tls shop.test");
    expect(told).toContain("allowed tls shop.test");
    expect(told).toContain("denied tls shop.test");
  },
  { needs: NEEDS },
);
