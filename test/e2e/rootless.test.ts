/** Machines of an ordinary user on a network of their own, without root and without `banger setup`. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { PolicyLog } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import type { Check } from "#base/check.ts";
import { isRunning, type ProcessIdentity } from "#base/process-identity.ts";
import { runOk } from "#base/run.ts";
import type { Installation } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";
import { HTTP_PORT, type Outside, SHOP, startOutside } from "#test/outside.ts";
import { installForUser } from "#test/user-installation.ts";

const SMALL = ["--image", "busybox", "--mode", "direct", "--memory", "192M"];
const userTest = testNeeding("root", "ip", "nft", "pasta", "curl", "unshare", "nsenter");

let banger: Installation;
let outside: Outside;

beforeAll(async () => {
  if (process.getuid?.() !== 0 || Bun.which("pasta") === null) return;
  outside = await startOutside();
  banger = await installForUser(outside);
}, LIMIT_MS);

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
  await outside?.[Symbol.asyncDispose]();
}, LIMIT_MS);

describe("an ordinary user", () => {
  userTest("gets nat with policies, names, networks and ports in a namespace", async () => {
    const checks = await banger.json<Check[]>("doctor").catch(async () => {
      return JSON.parse((await banger.call(["doctor", "--json"])).stdout) as Check[];
    });
    const tap = checks.find(({ id }) => id === "net.tap");
    expect(tap).toMatchObject({ status: "ok", detail: expect.stringContaining("pasta") });

    const allow = ["--allow", `shop.test:${HTTP_PORT}`, "-p", "80"];
    await banger.ok("network", "create", "back");
    await banger.ok("vm", "create", "--name", "web", "--network", "back", ...allow, ...SMALL);
    const web = await banger.json<Vm>("vm", "show", "web");
    expect(web.network.mode).toBe("nat");
    expect(await get("web", "shop.test")).toContain("hello");
    expect(await get("web", "evil.test")).toContain("bad address");
    expect(await get("web", SHOP.replace(/\d+$/, "4"))).toMatch(/refused|reset/);
    const log = await banger.json<PolicyLog>("vm", "policy", "log", "web");
    expect(log.rules).toEqual([{ rule: `shop.test:${HTTP_PORT}`, connections: 1 }]);

    const qemu = banger.processes().filter(({ command }) => command.includes("qemu-system"));
    expect(qemu).toHaveLength(1);
    // It is in the namespaces, and has no right over them.
    const status = readFileSync(`/proc/${qemu[0]?.pid}/status`, "utf8");
    for (const set of ["CapPrm", "CapEff", "CapBnd"])
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, "m"));
    expect(status).toContain("\nNoNewPrivs:\t1\n");
    // Of the user's files it sees those that it boots from.
    expect(existsSync(`/proc/${qemu[0]?.pid}/root/etc/passwd`)).toBe(false);
    expect(existsSync(`/proc/${qemu[0]?.pid}/root${banger.home}/config`)).toBe(false);
    expect(readlinkSync(`/proc/${qemu[0]?.pid}/ns/net`)).not.toBe(
      readlinkSync("/proc/self/ns/net"),
    );

    const { address = "" } = web.network;
    // What listens on the network alone is not on the machine's loopback.
    await inside(
      "web",
      `mkdir -p /www; echo web > /www/index.html; httpd -p ${address}:80 -h /www`,
    );
    const [port] = web.network.ports ?? [];
    expect(await curl(port?.hostPort ?? 0)).toBe("web\n");

    await banger.ok("vm", "create", "--name", "db", "--network", "back", ...SMALL);
    expect(await inside("web", "ping -c 1 -W 60 db")).toContain("1 packets received");
  });

  userTest("finds its machines' network again, and it ends with the last of them", async () => {
    const record = join(banger.home, "state/banger/network-namespace.json");
    const before = readFileSync(record, "utf8");
    await banger.ok("daemon", "restart");
    expect(await get("web", "shop.test")).toContain("hello");
    await banger.ok("vm", "policy", "set", "web", "--deny-all");
    expect(await get("web", "shop.test")).toContain("bad address");
    expect(await get("web", SHOP)).toContain("refused");
    const { holder, uplink } = JSON.parse(before) as Record<string, ProcessIdentity>;
    if (!holder || !uplink) throw new Error(before);

    // Whoever ends pasta cuts the machines off, until the daemon notices.
    process.kill(uplink.pid, "SIGKILL");
    await banger.ok("daemon", "restart");
    expect(await get("db", "shop.test")).toContain("hello");
    expect(JSON.parse(readFileSync(record, "utf8")).holder).toEqual(holder);

    await banger.ok("vm", "rm", "--force", "web");
    expect(isRunning(holder)).toBe(true);
    await banger.ok("vm", "rm", "--force", "db");
    expect(isRunning(holder)).toBe(false);
    expect(existsSync(record)).toBe(false);
  });
});

/** Output and errors of a shell in a machine, whatever its status. */
async function inside(name: string, script: string): Promise<string> {
  const { stdout, stderr } = await banger.call(["vm", "exec", name, "--", "sh", "-c", script]);
  return stdout + stderr;
}

/** By a client that closes both directions at the end: Debian 12's pasta cuts off one that half-closes. */
async function get(name: string, host: string): Promise<string> {
  return await inside(name, `timeout 120 wget -q -O - http://${host}:${HTTP_PORT}/ 2>&1`);
}

async function curl(port: number): Promise<string> {
  const argv = ["curl", "-s", "-m", "120", "--retry", "5", "--retry-all-errors"];
  return await runOk([...argv, `http://127.0.0.1:${port}/`], { timeout_ms: LIMIT_MS });
}
