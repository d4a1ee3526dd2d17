/** Networks of an ordinary user: made on demand in a namespace of their own, found again, and ended. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Decision } from "#api/network.ts";
import { hexOf, sha256 } from "#base/digest.ts";
import { newId } from "#base/id.ts";
import { identify } from "#base/process-identity.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach } from "#test/net-calls.ts";
import { NetLab, OUTSIDE, USER_UID } from "#test/net-lab.ts";

const hostTest = testNeeding("root", "ip", "nft", "pasta");

function processesIn(record: string): number[] {
  const { holder, uplink } = JSON.parse(readFileSync(record, "utf8")) as Record<
    "holder" | "uplink",
    { pid: number }
  >;
  return [holder.pid, uplink.pid];
}

hostTest(
  "a user's machines get a namespace, which outlives the daemon and ends with them",
  async () => {
    await using lab = await NetLab.create();
    const before = await lab.snapshot();
    const record = join(lab.userFolder(), "namespace.json");
    const start = () => lab.daemon({ user_uid: USER_UID, rootless: record });
    const first = start();
    const [a, b] = [newId(), newId()];
    const attached = await attach(first, a);
    expect(attached).toMatchObject({ address: "10.241.0.2/24", gateway: "10.241.0.1" } as object);
    const { namespacePid } = attached;
    expect(existsSync(`/proc/${namespacePid}/ns/net`)).toBe(true);
    expect(await lab.snapshot()).toBe(before);

    const second = start();
    await first.stop();
    await second.call({ op: "resume" });
    expect((await attach(second, b)).namespacePid).toBe(namespacePid as number);
    const processes = processesIn(record);
    expect(processes.map((pid) => identify(pid) !== undefined)).toEqual([true, true]);

    await detach(second, a);
    expect(processes.map((pid) => identify(pid) !== undefined)).toEqual([true, true]);
    await detach(second, b);
    expect(processes.map((pid) => identify(pid) !== undefined)).toEqual([false, false]);
    expect(existsSync(record)).toBe(false);
    await second.stop();
  },
);

hostTest("a host without a default route has namespaces all the same", async () => {
  await using lab = await NetLab.create();
  await lab.run("host", ["ip", "route", "del", "default"]);
  const record = join(lab.userFolder(), "namespace.json");
  const daemon = lab.daemon({ user_uid: USER_UID, rootless: record });
  const id = newId();
  const { mtu, namespacePid } = await attach(daemon, id);
  expect(mtu).toBe(65_520);
  const routes = readFileSync(`/proc/${namespacePid}/net/route`, "utf8");
  expect(routes).toContain("uplink0\t00000000");
  await detach(daemon, id);
  expect(existsSync(record)).toBe(false);
});

testNeeding(
  "root",
  "ip",
  "nft",
  "pasta",
  "nsenter",
  "dig",
  "curl",
)("a secret is put in by the user's daemon, and is never in the namespace", async () => {
  await using lab = await NetLab.create();
  const [host, placeholder, value] = ["shop.test", "banger_0123456789abcdef", "s3cr3t-value/x="];
  const real = await makeAuthority(Buffer.alloc(32, 9), "the real world");
  const file = (name: string, text: string) => {
    const path = join(lab.userFolder(), name);
    writeFileSync(path, text);
    return path;
  };
  const resolvConf = file("resolv.conf", `nameserver ${OUTSIDE}\n`);
  const roots = file("roots.pem", real.certificate);
  await lab.resolver(53);
  await lab.serveHttps("outside", 443, await real.leaf(host));
  const record = join(lab.userFolder(), "namespace.json");
  const daemon = lab.daemon({
    ...{ user_uid: USER_UID, rootless: record },
    before: `mount --bind ${resolvConf} /etc/resolv.conf`,
    secret: { hosts: [host], placeholder, value, roots },
  });
  const id = newId();
  const attached = await attach(daemon, id, { allow: [host], secretHosts: [host] });
  await lab.plug("a", attached);
  const ca = file("ca.pem", await daemon.call<string>({ op: "certificate" }));
  const resolve = ["dig", "+tries=4", "+time=15", "@10.241.0.1", "+short", host];
  expect(await lab.run("a", resolve)).toContain(OUTSIDE);
  const ask = async (...more: string[]): Promise<string> => {
    const at = ["--resolve", `${host}:443:${OUTSIDE}`, "--cacert", ca];
    const bearer = `Authorization: Bearer ${placeholder}`;
    const argv = ["curl", "-s", "-m", "60", ...at, "-H", bearer, ...more, `https://${host}/digest`];
    return (await lab.run("a", argv)).trim();
  };
  expect(await ask()).toBe(hexOf(sha256(`Bearer ${value}`)));
  expect(await ask("-H", `X-Other: ${placeholder}`)).toContain("not allowed in header x-other");
  expect(await ask("-H", "Host: evil.test")).toContain("evil.test");
  const decisions = await daemon.call<Decision[]>({ op: "decisions" });
  const told = decisions.flatMap(({ secret, verdict }) => (secret ? [`${verdict} ${secret}`] : []));
  expect(told).toEqual(["allowed TOKEN", "denied TOKEN"]);
  await detach(daemon, id);
});
