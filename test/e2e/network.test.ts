/** Real machines on a real network: each other, the outside under a policy, and ports served from inside. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { NamedNetwork, PolicyLog } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { runOk } from "#base/run.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { startDaemonWith } from "#test/daemon-resolver.ts";
import { hostPrograms } from "#test/host-program.ts";
import { type Installation, install } from "#test/installation.ts";
import { kernelModules } from "#test/kernel-modules.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";
import { FAR, HTTP_PORT, type Outside, SHOP, startOutside } from "#test/outside.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

const SMALL = ["--image", "busybox", "--mode", "direct", "--memory", "192M"];
const needs = ["root", "ip", "nft", "curl", "dig", "unshare"];
const networkTest = testNeeding(...needs);
const UDP_TIMEOUT_MS = 200;
/** Ports of TCP and UDP inside. */
const SERVED: readonly [number, number] = [80, 53];

let banger: Installation;
let outside: Outside;

beforeAll(async () => {
  banger = install();
  if (process.getuid?.() !== 0) return;
  outside = await startOutside();
  // The packages are where the host's own resolver says.
  await giveKernel(banger);
  await banger.ok("daemon", "stop");
  await startDaemon();
  const udpEcho = join(banger.home, "udp-echo");
  const source = new URL("../support/udp-echo.c", import.meta.url).pathname;
  await runOk(["gcc", "-O1", "-static", "-s", "-o", udpEcho, source], { timeout_ms: LIMIT_MS });
  const extra = { name: "bin/udp-echo", mode: 0o755, body: readFileSync(udpEcho) };
  const modules = await kernelModules(
    join(banger.home, "state/banger/kernels", KERNEL),
    ...["veth", "nft_chain_nat", "nft_masq"],
  );
  const more = [[extra], [...modules, ...(await hostPrograms("nft", "ip"))]];
  await busyboxLayout(join(banger.home, "busybox"), { more });
  const layout = `oci:${banger.home}/busybox`;
  await banger.ok("image", "pull", layout, "--name", "busybox", "--kernel-ref", KERNEL);
  await banger.ok("network", "create", "back");
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
  await outside?.[Symbol.asyncDispose]();
});

describe("machines", () => {
  networkTest("on a shared network find and reach each other, until one leaves it", async () => {
    const allow = ["--allow", `shop.test:${HTTP_PORT}`];
    await banger.ok("vm", "create", "--name", "web", "--nat", ...SMALL);
    await banger.ok(
      "vm",
      "create",
      "--name",
      "db",
      "--nat",
      "--network",
      "back",
      ...allow,
      ...SMALL,
    );
    expect(await inside("web", "ping -c 1 -W 1 db.vm")).not.toContain("1 packets received");
    await banger.ok("network", "connect", "back", "web");
    const [network] = await banger.json<NamedNetwork[]>("network", "list");
    expect(network?.machines.sort()).toEqual(["db", "web"]);
    const [web, db] = [await show("web"), await show("db")];
    for (const [from, to] of [
      ["web", "db"],
      ["db", "web"],
    ] as const) {
      // The search domain makes the short name do.
      expect(await inside(from, `ping -c 1 -W 60 ${to}`)).toContain("1 packets received");
    }
    expect(await inside("web", `ping -6 -c 1 -W 60 db.vm`)).toContain("1 packets received");
    expect(await dig(web, "db.vm", "a")).toBe(db.network.address ?? "");
    expect(await dig(web, "db.vm", "aaaa")).toBe(db.network.address6 ?? "");
    expect(await dig(web, "-x", db.network.address ?? "")).toBe("db.vm.");

    await banger.ok("network", "disconnect", "back", "web");
    const { address } = db.network;
    expect(await inside("web", `ping -c 1 -W 1 ${address}`)).toContain("0 packets received");
    expect((await banger.call(["network", "rm", "back"])).stderr).toContain("in use by db");
  });

  networkTest("reach what their policy names and nothing else, also while it changes", async () => {
    expect(await inside("web", "nslookup shop.test")).toContain(SHOP);
    expect(await get("db", "shop.test")).toContain("hello");
    expect(await get("db", "evil.test")).toContain("bad address");
    expect(await get("web", "evil.test")).toContain("hello");
    const log = await banger.json<PolicyLog>("vm", "policy", "log", "db");
    expect(log.rules).toEqual([{ rule: `shop.test:${HTTP_PORT}`, connections: 1 }]);
    const denied = log.names.filter(({ verdict }) => verdict === "denied");
    expect(denied.map(({ name }) => name)).toContain("evil.test");
    const reached = log.connections.find(({ address }) => address === SHOP);
    expect(reached).toMatchObject({ verdict: "allowed", name: "shop.test", port: HTTP_PORT });

    await banger.ok("vm", "policy", "allow", "db", "evil.test");
    expect(await get("db", "evil.test")).toContain("hello");
    await banger.ok("vm", "policy", "set", "db", "--deny-all");
    expect(await get("db", SHOP)).toContain("refused");
    // It is the machine's, and not the daemon's.
    await banger.ok("daemon", "stop");
    await startDaemon();
    expect(await get("db", SHOP)).toContain("refused");
    expect(await get("db", "shop.test")).toContain("bad address");
    await banger.ok("vm", "policy", "set", "db", "--allow-all");
    expect(await get("db", "shop.test")).toContain("hello");
  });

  networkTest(
    "serve published ports over TCP and UDP, with a network and without, over a restart of the daemon",
    async () => {
      await banger.ok(
        "vm",
        "create",
        "--name",
        "alone",
        "--net",
        "none",
        ...SMALL,
        ...["80", "53/udp", "81", "54/udp"].flatMap((port) => ["-p", port]),
      );
      await banger.ok("vm", "port", "add", "web", "80", "53/udp", "81", "54/udp");
      for (const name of ["web", "alone"]) {
        const server = `mkdir -p /www; echo ${name} > /www/index.html; httpd -p 80 -h /www`;
        const near = "httpd -p [::1]:81 -h /www; udp-echo 54 ::1 < /dev/null > /dev/null 2>&1 &";
        await inside(name, `${server}; ${near} udp-echo 53 < /dev/null > /dev/null 2>&1 &`);
        await expectServed(name);
        // What listens on ::1 only, and datagrams that no wire takes in one piece.
        await expectServed(name, [81, 54]);
        const large = "x".repeat(9000);
        expect(await sayTo((await portsOf(name)).udp, large)).toBe(`heard ${large}`);
      }
      const { tcp: open } = await portsOf("web");
      const stopped = await banger.call(["daemon", "stop"]);
      expect(stopped.stderr).toContain("are closed while the daemon is stopped");
      expect(stopped.stderr).toContain(`web 127.0.0.1:${open}->80/tcp`);
      await startDaemon();
      for (const name of ["web", "alone"]) await expectServed(name);

      const ports = await Promise.all(["web", "alone"].map((name) => portsOf(name)));
      const { pid } = await banger.json<{ pid: number }>("daemon", "status");
      process.kill(pid, "SIGKILL");
      // No command, which would start a daemon, until both answer.
      for (const [index, name] of ["web", "alone"].entries()) {
        while ((await curl(ports[index]?.tcp ?? 0, { waits: false })) !== `${name}\n`) {
          await Bun.sleep(50);
        }
        expect(await sayTo(ports[index]?.udp ?? 0, name)).toBe(`heard ${name}`);
      }
      const next = await banger.json<{ pid: number }>("daemon", "status");
      expect(next.pid).not.toBe(pid);
      // One that has been stopped stays down, also in the moment after a kill.
      process.kill(next.pid, "SIGKILL");
      await banger.ok("daemon", "stop");
      expect(banger.processes().filter(({ command }) => !command.includes("qemu"))).toEqual([]);
      await startDaemon();

      const { tcp } = await portsOf("web");
      expect(await banger.ok("vm", "list")).toContain(`127.0.0.1:${tcp}->80/tcp`);
      await banger.ok("vm", "port", "rm", "web", String(tcp));
      expect(await curl(tcp, { waits: false })).toBe("");
      await banger.ok("vm", "stop", "alone", "--grace", "1s");
      expect(await curl((await portsOf("alone")).tcp, { waits: false })).toBe("");
    },
  );

  networkTest("route for others on a network of the user's own", async () => {
    await banger.ok("vm", "create", "--name", "router", "--net", "user", ...SMALL);
    const router = [
      "for module in /modules/*; do insmod $module; done",
      "mkdir -p /run/netns",
      "/tools/ip netns add behind",
      "/tools/ip link add inner type veth peer name eth0 netns behind",
      "/tools/ip addr add 172.31.0.1/24 dev inner",
      "/tools/ip link set inner up",
      "/tools/ip -n behind addr add 172.31.0.2/24 dev eth0",
      "/tools/ip -n behind link set eth0 up",
      "/tools/ip -n behind route add default via 172.31.0.1",
      "echo 1 > /proc/sys/net/ipv4/ip_forward",
      "/tools/nft 'table ip nat { chain post { type nat hook postrouting priority 100; ip saddr 172.31.0.0/24 masquerade; }; }'",
      `timeout 300 /tools/ip netns exec behind wget -q -O - http://${SHOP}:${HTTP_PORT}/big | wc -c`,
    ];
    // Its resolver is the host's, which is the test's own.
    expect(await inside("router", "nslookup shop.test")).toContain(SHOP);
    expect(await inside("router", router.join("\n"))).toBe("10000000\n");
    // Only a server at a distance makes an older passt send what a router would answer with a reset.
    const far = `timeout 300 /tools/ip netns exec behind wget -q -O - http://${FAR}:${HTTP_PORT}/`;
    expect(await inside("router", far)).toBe("hello\n");
  });

  networkTest("are not booted for a port that somebody has", async () => {
    const server = createServer();
    const listening = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", () => listening.resolve());
    await listening.promise;
    const address = server.address();
    const taken = typeof address === "object" && address ? address.port : 0;
    try {
      const create = ["vm", "create", "--name", "late", "--nat", ...SMALL, "-p", `${taken}:80`];
      const { status, stderr } = await banger.call([...create, "--progress=plain"]);
      expect(status).toBe(13);
      expect(stderr).toContain(`Cannot publish 127.0.0.1:${taken}/tcp: port already in use`);
      expect(stderr).not.toContain("Booting");
      expect(await banger.ok("vm", "list", "-q")).not.toContain("late");
    } finally {
      server.close();
    }
  });
});

/** With a resolver of the test's own, which the daemon asks for its machines. */
async function startDaemon(): Promise<void> {
  await startDaemonWith(banger, outside);
}

/** Output and errors of a shell in a machine, whatever its status. */
async function inside(name: string, script: string): Promise<string> {
  const { stdout, stderr } = await banger.call(["vm", "exec", name, "--", "sh", "-c", script]);
  return stdout + stderr;
}

async function get(name: string, host: string): Promise<string> {
  return await inside(
    name,
    `printf 'GET / HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n' | timeout 120 nc ${host} ${HTTP_PORT}`,
  );
}

async function show(name: string): Promise<Vm> {
  return await banger.json<Vm>("vm", "show", name);
}

/** What the daemon answers to a question that comes from the host. */
async function dig({ network }: Vm, ...question: string[]): Promise<string> {
  const gateway = (network.address ?? "").replace(/\.\d+$/, ".1");
  return (
    await runOk(["dig", `@${gateway}`, "+short", ...question], { timeout_ms: LIMIT_MS })
  ).trim();
}

async function portsOf(name: string, guest = SERVED): Promise<{ tcp: number; udp: number }> {
  const ports = (await show(name)).network.ports ?? [];
  const of = (protocol: string, number: number) =>
    ports.find((port) => port.protocol === protocol && port.guestPort === number)?.hostPort ?? 0;
  return { tcp: of("tcp", guest[0]), udp: of("udp", guest[1]) };
}

async function expectServed(name: string, guest = SERVED): Promise<void> {
  const { tcp, udp } = await portsOf(name, guest);
  expect(await curl(tcp)).toBe(`${name}\n`);
  expect(await sayTo(udp, name)).toBe(`heard ${name}`);
}

/** The page at a published port; empty when there is none, or when it cannot be had at once and is not waited for. */
async function curl(port: number, options: { waits: boolean } = { waits: true }): Promise<string> {
  const retry = options.waits ? ["--retry", "5", "--retry-all-errors"] : [];
  const argv = ["curl", "-s", "-m", "120", ...retry, `http://127.0.0.1:${port}/`];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  return await new Response(child.stdout).text();
}

/** Says it again until there is an answer: datagrams may be lost. */
async function sayTo(port: number, text: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: { data: (_socket, data) => answer.resolve(data.toString()), error() {} },
  });
  const say = (): void => {
    socket.send(text);
  };
  say();
  const again = setInterval(say, UDP_TIMEOUT_MS);
  try {
    return await answer.promise;
  } finally {
    clearInterval(again);
    socket.close();
  }
}
