/** Root once: what `banger setup` leaves, and that a user without any rights gets by with it. */
import { expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "#base/id.ts";
import type { SetupStep } from "#net/setup/setup.ts";
import { leasesDirectory, removeLeasesDirectory } from "#net/tap-leases.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import { asUser, HOST_OUTSIDE, NetLab, OUTSIDE } from "#test/net-lab.ts";
import { until } from "#test/until.ts";

const hostTest = testNeeding("root", "ip", "nft", "dig", "setpriv");
const NOBODY_UID = 65_534;
const SUBNET = "10.241.0.0/24";
const GATEWAY = "10.241.0.1";
const SETUP = new URL("../support/net-setup.ts", import.meta.url).pathname;

type Answer = { ok: unknown } | { error: { code: string; message: string; hint: string } };

async function setupLab() {
  const lab = await NetLab.create();
  const root = mkdtempSync(join(tmpdir(), "banger-setup-"));
  chmodSync(root, 0o755);
  // Claims are below /run, which all namespaces share.
  const bridge = `bgrt${randomBytes(3).toString("hex")}`;
  const plan = {
    bridge,
    subnet: SUBNET,
    user_uid: NOBODY_UID,
    taps: 2,
    hostTaps: 1,
    dnsPort: 15353,
  };
  const call = async (verb: string, change: object = {}, as: string[] = []): Promise<Answer> => {
    const argv = [process.execPath, SETUP, verb, root, JSON.stringify({ ...plan, ...change })];
    return JSON.parse(await lab.run("host", [...as, ...argv])) as Answer;
  };
  const asked = await lab.resolver(5300);
  const dns = { resolvers: [{ address: OUTSIDE, port: 5300 }] };
  return {
    lab,
    root,
    plan,
    call,
    asked,
    userDaemon: () => lab.daemon({ bridge, subnet: SUBNET, dns, user_uid: NOBODY_UID }),
    rootDaemon: () => lab.daemon({ bridge, subnet: SUBNET }),
    [Symbol.asyncDispose]: async () => {
      await lab[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
      removeLeasesDirectory(plan);
    },
  };
}

hostTest(
  "after setup a user without rights connects machines, and undo leaves nothing",
  async () => {
    await using all = await setupLab();
    const { lab, call, root, plan } = all;
    const before = await lab.snapshot();
    expect(await call("up")).toEqual({ ok: null });
    const made = await lab.snapshot();
    // The same again changes nothing.
    expect(await call("up")).toEqual({ ok: null });
    expect(await lab.snapshot()).toBe(made);
    const unit = readFileSync(join(root, "etc/systemd/system/banger-network.service"), "utf8");
    expect(unit).toContain('ExecStart="/usr/bin/env" setup --restore');

    const daemon = all.userDaemon();
    const [a, b, c] = [newId(), newId(), newId()];
    const first = await attach(daemon, a);
    const second = await attach(daemon, b, { address: "10.241.0.253" });
    expect(first.address as string).toBe("10.241.0.254/24");
    expect(second.address as string).toBe("10.241.0.253/24");
    expect(await lab.snapshot()).toBe(made);
    await lab.plug("a", first, NOBODY_UID);
    await lab.plug("b", second, NOBODY_UID);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await lab.ask("b", GATEWAY)).toBe("10.241.0.253");
    expect(await lab.ask("a", "10.241.0.253", NO_ANSWER_MS)).toBeUndefined();

    // Port 53 takes root, so the rules lead it to where the daemon may listen.
    expect(first.dns as string[]).toEqual([GATEWAY]);
    await daemon.call({ op: "names", names: { web: "10.241.0.253" } });
    for (const how of ["+notcp", "+tcp"]) {
      const argv = ["dig", "+short", "+tries=4", how, `@${GATEWAY}`, "web.vm"];
      expect((await lab.run("a", argv)).trim()).toBe("10.241.0.253");
    }
    // Another's address is no way out, although no rule was changed for this machine.
    await lab.ip("b", "addr flush dev eth0", "addr add 10.241.0.252/24 dev eth0");
    await lab.ip("b", `route add default via ${GATEWAY}`);
    expect(await lab.ask("b", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();

    const full = await refused(attach(daemon, c));
    expect(full).toMatchObject({
      code: "limit_exceeded",
      hint: expect.stringContaining("--taps 4"),
    });
    expect(await call("undo")).toMatchObject({ error: { code: "conflict" } });
    // The machine's tap is the same again after the daemon was killed.
    await daemon.stop();
    const next = all.userDaemon();
    expect((await attach(next, a)).tap).toBe(first.tap);
    await detach(next, a);
    await detach(next, a);
    expect((await attach(next, c)).tap).toBe(first.tap);
    for (const id of [b, c]) await detach(next, id);
    expect(await lab.snapshot()).toBe(made);

    expect(await call("undo")).toEqual({ ok: null });
    expect(await lab.snapshot()).toBe(before);
    expect(existsSync(leasesDirectory(plan))).toBe(false);
    expect(existsSync(join(root, "etc/banger/setup.json"))).toBe(false);
    expect(existsSync(join(root, "etc/systemd/system/banger-network.service"))).toBe(false);
    expect(await call("undo")).toMatchObject({ error: { code: "not_found" } });
  },
);

hostTest("another user's server on the port hears and answers no guest, nor the host", async () => {
  await using all = await setupLab();
  const { lab, call, plan } = all;
  expect(await call("up")).toEqual({ ok: null });
  const daemon = all.userDaemon();
  const attached = await attach(daemon, newId());
  await lab.plug("a", attached, NOBODY_UID);
  const ask = async (name: string, ...more: string[]): Promise<string> => {
    const argv = ["dig", "+tries=1", "+time=1", "+short", ...more, `@${GATEWAY}`, "evil.test"];
    return await lab.run(name, ["sh", "-c", `${argv.join(" ")} || true`]);
  };
  for (const more of [[], ["+tcp"]]) expect(await ask("a", ...more)).toContain("198.51.100.4");
  // Rules that are made anew let the daemon through again.
  await call("restore");
  await until(async () => (await ask("a")).includes("198.51.100.4"));
  await daemon.stop();
  const asked = await lab.resolver(plan.dnsPort, {
    name: "host",
    address: GATEWAY,
    user_uid: NOBODY_UID - 1,
  });
  for (const more of [[], ["+tcp"]]) {
    expect(await ask("a", ...more)).not.toContain("198.51.100.4");
  }
  expect(asked).toEqual([]);
  for (const more of [[], ["+tcp"]]) {
    expect(await ask("host", "-p", String(plan.dnsPort), ...more)).not.toContain("198.51.100.4");
  }
  expect(asked).toContain("evil.test");
});

hostTest("what takes root is refused to the user, clearly, and nothing is taken", async () => {
  await using all = await setupLab();
  const { lab, call } = all;
  expect(await call("up", {}, asUser(NOBODY_UID))).toMatchObject({
    error: { code: "permission_denied", hint: "sudo banger setup" },
  });
  const without = all.userDaemon();
  expect(await refused(attach(without, newId()))).toMatchObject({ code: "permission_denied" });
  await call("up");
  const daemon = all.userDaemon();
  for (const wish of [{ allow: [] }, { networks: ["blue"] }]) {
    expect(await refused(attach(daemon, newId(), wish))).toMatchObject({
      code: "permission_denied",
    });
  }
  const host = await attach(daemon, newId(), { mode: "host" });
  await lab.plug("h", host, NOBODY_UID);
  expect(await lab.ask("h", GATEWAY)).toBe(host.address.split("/")[0]);
  expect(await lab.ask("h", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
  // All of the taps are free still but that one.
  for (let count = 0; count < 2; count++) await attach(daemon, newId());
});

hostTest(
  "machines of root and of the user share the bridge and do not disturb each other",
  async () => {
    await using all = await setupLab();
    const { lab, call } = all;
    const [root, user] = [all.rootDaemon(), all.userDaemon()];
    const before = await lab.snapshot();
    const [a, b] = [newId(), newId()];
    await lab.plug("a", await attach(root, a));
    const alone = await lab.snapshot();
    expect(await call("up")).toEqual({ ok: null });
    await lab.plug("b", await attach(user, b), NOBODY_UID);
    const c = newId();
    await attach(root, c);
    await detach(root, c);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await refused(attach(root, newId(), { address: "10.241.0.254" }))).toMatchObject({
      code: "conflict",
    });
    await detach(user, b);
    expect(await call("undo")).toEqual({ ok: null });
    expect(await lab.snapshot()).toBe(alone);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    await detach(root, a);
    expect(await lab.snapshot()).toBe(before);
  },
);

hostTest("restore brings back at boot what was set up", async () => {
  await using all = await setupLab();
  const { lab, call, plan } = all;
  expect(await call("restore")).toMatchObject({ error: { code: "not_found" } });
  await call("up");
  const made = await lab.snapshot();
  // A boot, as far as the network is concerned.
  for (const link of await links(lab, plan.bridge)) await lab.ip("host", `link del ${link}`);
  await lab.run("host", ["nft", "flush", "ruleset"]);
  rmSync(leasesDirectory(plan), { recursive: true });
  expect(await call("restore")).toEqual({ ok: null });
  expect(await lab.snapshot()).toBe(made);
  expect((await attach(all.userDaemon(), newId())).address as string).toBe("10.241.0.254/24");
});

hostTest("a pool can grow and shrink, but not below a machine", async () => {
  await using all = await setupLab();
  const { lab, call } = all;
  await call("up", { hostTaps: 0 });
  const small = await lab.snapshot();
  expect(await call("up", { taps: 4, hostTaps: 0 })).toEqual({ ok: null });
  const daemon = all.userDaemon();
  const ids = [newId(), newId(), newId()];
  for (const id of ids) await attach(daemon, id);
  expect(await call("up", { hostTaps: 0 })).toMatchObject({ error: { code: "conflict" } });
  for (const id of ids) await detach(daemon, id);
  expect(await call("up", { hostTaps: 0 })).toEqual({ ok: null });
  expect(await lab.snapshot()).toBe(small);
  expect(await call("up", { user_uid: 1000 })).toMatchObject({ error: { code: "conflict" } });
  expect(await call("up", { taps: 254 })).toMatchObject({ error: { code: "limit_exceeded" } });
  expect(await lab.snapshot()).toBe(small);
});

hostTest("two daemons of one user never take the same tap", async () => {
  await using all = await setupLab();
  await all.call("up", { taps: 6, hostTaps: 0 });
  const daemons = [all.userDaemon(), all.userDaemon()];
  const attachments = await Promise.all(
    Array.from({ length: 6 }, (_, index) => {
      const daemon = daemons[index % 2];
      if (!daemon) throw new Error("no daemon");
      return attach(daemon, newId(), { address: "10.241.0.254" });
    }),
  );
  expect(new Set(attachments.map(({ tap }) => tap)).size).toBe(6);
  expect(new Set(attachments.map(({ address }) => address)).size).toBe(6);
});

hostTest("a dry run says what would be done, and does none of it", async () => {
  await using all = await setupLab();
  const { lab, call, root, plan } = all;
  const before = await lab.snapshot();
  const answer = await call("plan", {}, asUser(NOBODY_UID));
  if ("error" in answer) throw new Error(answer.error.message);
  const steps = answer.ok as SetupStep[];
  const text = JSON.stringify(steps);
  expect(text).toContain(`ip link add name ${plan.bridge}`);
  expect(text).toContain(`mode tap user ${NOBODY_UID}`);
  expect(text).toContain("setup --restore");
  expect(await lab.snapshot()).toBe(before);
  expect(existsSync(join(root, "etc"))).toBe(false);
  // The commands are what setup runs: by hand they give the same.
  for (const step of steps) {
    if (step.kind !== "command" || !/^(ip|nft) /.test(step.command)) continue;
    const script = `${step.command} <<'END'\n${step.input ?? ""}\nEND\n`;
    await lab.run("host", ["sh", "-c", script]);
  }
  const byHand = await lab.snapshot();
  expect(await call("up")).toEqual({ ok: null });
  expect(await lab.snapshot()).toBe(byHand);
  const undo = (await call("plan-undo")) as { ok: SetupStep[] };
  for (const step of undo.ok) {
    if (step.kind === "command") await lab.run("host", step.command.split(" "));
  }
  expect(await lab.snapshot()).toBe(before);
});

hostTest("setup stops at what is somebody else's, and leaves nothing half made", async () => {
  await using all = await setupLab();
  const { lab, call, plan, root } = all;
  const vpn = async () => {
    await lab.ip("host", "link add vpn0 type bridge", "addr add 10.241.0.7/16 dev vpn0");
    await lab.ip("host", "link set dev vpn0 addrgenmode none", "link set dev vpn0 up");
  };
  await vpn();
  const before = await lab.snapshot();
  expect(await call("up")).toMatchObject({ error: { code: "conflict" } });
  await lab.ip("host", "link del vpn0", `link add ${plan.bridge} type bridge`);
  expect(await call("up")).toMatchObject({ error: { code: "conflict" } });
  await lab.ip("host", `link del ${plan.bridge}`);
  // A file in the place of the folder that the record goes to.
  await lab.run("host", ["sh", "-c", `mkdir -p ${root}/etc && echo > ${root}/etc/banger`]);
  expect("error" in (await call("up"))).toBe(true);
  await lab.run("host", ["rm", `${root}/etc/banger`]);
  await vpn();
  expect(await lab.snapshot()).toBe(before);
});

/** Names of the bridge and its ports. */
async function links(lab: NetLab, bridge: string): Promise<string[]> {
  const json = await lab.run("host", ["ip", "-json", "link"]);
  const all = JSON.parse(json) as { ifname: string; master?: string }[];
  const ours = all.filter(({ ifname, master }) => ifname === bridge || master === bridge);
  return ours.map(({ ifname }) => ifname);
}
