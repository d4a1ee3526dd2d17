/** Networks of an ordinary user: made on demand in a namespace of their own, found again, and ended. */
import { expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "#base/id.ts";
import { identify } from "#base/process-identity.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach } from "#test/net-calls.ts";
import { NetLab, USER_UID } from "#test/net-lab.ts";

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
