/** The network as it is: taps, a bridge, rules and packets, in namespaces of the test's own. */
import { expect } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Check } from "#base/check.ts";
import { newId } from "#base/id.ts";
import { which } from "#base/run.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach, NO_ANSWER_MS, refused } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetDaemon, NetLab, OUTSIDE } from "#test/net-lab.ts";
import { networkTest } from "#test/net-twice.ts";

const hostTest = testNeeding("root", "ip", "nft");

networkTest(
  "machines behind NAT reach the outside and not each other; nothing is left of them",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const before = await lab.snapshot();
    const [a, b] = [newId(), newId()];
    const first = await attach(daemon, a);
    const second = await attach(daemon, b);
    expect(first).toMatchObject({
      tap: `bgr-${a.slice(0, 8)}`,
      address: "10.241.0.2/24",
      gateway: "10.241.0.1",
      mtu: lab.mtu,
    } as object);
    expect(second.address as string).toBe("10.241.0.3/24");
    await lab.plug("a", first);
    await lab.plug("b", second);

    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await lab.ask("a", "10.241.0.1")).toBe("10.241.0.2");
    expect(await lab.ask("a", "10.241.0.3", NO_ANSWER_MS)).toBeUndefined();

    // The outside may send answers in, and nothing else.
    await lab.ip("outside", `route add 10.241.0.0/24 via ${HOST_OUTSIDE}`);
    expect(await lab.ask("outside", "10.241.0.2", NO_ANSWER_MS)).toBeUndefined();

    // Without what keeps them apart the same question is answered: the silence above means something.
    for (const { tap } of [first, second]) {
      await lab.ip("host", `link set dev ${tap} type bridge_slave isolated off`);
    }
    for (const family of ["inet", "bridge"]) {
      await lab.run("host", ["nft", "flush", "chain", family, "banger", "forward"]);
    }
    expect(await lab.ask("a", "10.241.0.3")).toBe("10.241.0.2");
    // pasta opens nothing that it is not told to.
    const fromOutside = await lab.ask(
      "outside",
      "10.241.0.2",
      lab.isRootless ? NO_ANSWER_MS : undefined,
    );
    expect(fromOutside).toBe(lab.isRootless ? undefined : OUTSIDE);

    await detach(daemon, a);
    expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
    await detach(daemon, b);
    await detach(daemon, b);
    expect(await lab.snapshot()).toBe(before);
  },
  { isShort: true },
);

networkTest("a machine in host mode reaches the host and not the outside", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const [a, b] = [newId(), newId()];
  // So that a packet which gets out without masquerading is answered as well.
  await lab.ip("outside", `route add 10.241.0.0/24 via ${HOST_OUTSIDE}`);
  await lab.plug("a", await attach(daemon, a, { mode: "host", address: "10.241.0.9" }));
  await lab.plug("b", await attach(daemon, b));
  expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
  expect(await lab.ask("a", "10.241.0.1")).toBe("10.241.0.9");
  expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
});

networkTest("the host forgets who had the addresses of a new machine before", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  await attach(daemon, newId());
  const known = ["10.241.0.9", "10.241.0.10"];
  for (const address of known) {
    const entry = ["replace", address, "lladdr", "02:00:00:00:00:01", "nud", "reachable"];
    await lab.run("host", ["ip", "neigh", ...entry, "dev", "banger0"]);
  }
  await attach(daemon, newId(), { address: "10.241.0.9" });
  const left = await lab.run("host", ["ip", "neigh", "show", "dev", "banger0"]);
  expect(known.map((address) => left.includes(`${address} `))).toEqual([false, true]);
});

networkTest(
  "the host configures nothing by what guests say, and the bridge keeps its hardware address",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const hardware = () => lab.run("host", ["cat", "/sys/class/net/banger0/address"]);
    const { tap } = await attach(daemon, newId());
    const before = await hardware();
    await attach(daemon, newId());
    expect(await hardware()).toBe(before);
    for (const [setting, value] of [
      [`${tap}/disable_ipv6`, "1"],
      ["banger0/accept_ra", "0"],
      ["banger0/autoconf", "0"],
      ["banger0/accept_redirects", "0"],
    ]) {
      const path = `/proc/sys/net/ipv6/conf/${setting}`;
      expect((await lab.run("host", ["cat", path])).trim()).toBe(value ?? "");
    }
  },
);

networkTest(
  "twenty machines come and go at the same time, each with an address of its own",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const before = await lab.snapshot();
    const ids = Array.from({ length: 20 }, newId);
    const attachments = await Promise.all(ids.map((id) => attach(daemon, id)));
    expect(new Set(attachments.map(({ address }) => address)).size).toBe(20);
    const rules = await lab.run("host", ["nft", "list", "set", "inet", "banger", "nat_machines"]);
    for (const { address } of attachments) expect(rules).toContain(address.split("/")[0] ?? "");
    const ports = JSON.parse(
      await lab.run("host", ["ip", "-json", "-d", "link", "show", "master", "banger0"]),
    ) as { linkinfo: { info_slave_data: { isolated: boolean } } }[];
    expect(ports.map((port) => port.linkinfo.info_slave_data.isolated)).toEqual(
      ids.map(() => true),
    );
    // Some leave while others come.
    const more = Array.from({ length: 10 }, newId);
    await Promise.all([
      ...ids.slice(0, 10).map((id) => detach(daemon, id)),
      ...more.map((id) => attach(daemon, id)),
    ]);
    await Promise.all([...ids.slice(10), ...more].map((id) => detach(daemon, id)));
    expect(await lab.snapshot()).toBe(before);
  },
);

hostTest("two daemons at the same time do not undo each other's work", async () => {
  await using lab = await NetLab.create();
  const daemons = [lab.daemon(), lab.daemon()];
  const before = await lab.snapshot();
  const comeAndGo = async (daemon: NetDaemon): Promise<void> => {
    for (let round = 0; round < 8; round++) {
      const id = newId();
      await attach(daemon, id);
      await detach(daemon, id);
    }
  };
  await Promise.all(daemons.map(comeAndGo));
  expect(await lab.snapshot()).toBe(before);
});

networkTest("a new daemon goes on where a killed one stopped", async (makeLab) => {
  await using lab = await makeLab();
  const [a, b] = [newId(), newId()];
  const before = await lab.snapshot();
  const killed = lab.daemon();
  await lab.plug("a", await attach(killed, a));
  await killed.stop();
  const daemon = lab.daemon();
  const { address } = await attach(daemon, b);
  expect(address as string).toBe("10.241.0.3/24");
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  const taken = await refused(attach(daemon, newId(), { address: "10.241.0.2" }));
  expect(taken).toMatchObject({ code: "conflict", message: expect.stringContaining(a) });
  await detach(daemon, b);
  await detach(daemon, a);
  expect(await lab.snapshot()).toBe(before);
});

networkTest("attach is undone at whatever moment it is cancelled", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const before = await lab.snapshot();
  let cancelled = 0;
  for (let abortAfter_ms = 0; abortAfter_ms < 24; abortAfter_ms++) {
    const id = newId();
    try {
      await attach(daemon, id, { abortAfter_ms });
      await detach(daemon, id);
    } catch (error) {
      expect(error).toMatchObject({ code: "cancelled" });
      cancelled++;
    }
    expect(await lab.snapshot()).toBe(before);
  }
  expect(cancelled).toBeGreaterThan(0);
});

hostTest("attach is undone when the rules cannot be set", async () => {
  await using lab = await NetLab.create();
  const folder = mkdtempSync(join(tmpdir(), "banger-nft-"));
  try {
    const text = `#!/bin/sh\nread -r line\necho "Error: no such hook" >&2\nexit 1\n`;
    writeFileSync(
      join(folder, "nft"),
      `#!/bin/sh\nif [ "$1" != -f ]; then exec ${which("nft")} "$@"; fi\n${text}`,
    );
    chmodSync(join(folder, "nft"), 0o755);
    const daemon = lab.daemon({ env: { PATH: `${folder}:${process.env["PATH"]}` } });
    const before = await lab.snapshot();
    const { code, message } = await refused(attach(daemon, newId()));
    expect(code).toBe("internal");
    expect(message).toContain("no such hook");
    expect(await lab.snapshot()).toBe(before);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

networkTest(
  "a bridge, table or tap that somebody else made is refused and left alone",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const id = newId();
    const cases: { make: string[]; remove: string[]; names: string }[] = [
      {
        make: ["ip", "link", "add", "banger0", "type", "bridge"],
        remove: ["ip", "link", "del", "banger0"],
        names: "banger0",
      },
      {
        make: ["nft", 'add table inet banger { comment "theirs"; }'],
        remove: ["nft", "delete", "table", "inet", "banger"],
        names: "inet banger",
      },
      {
        make: ["nft", 'add table bridge banger { comment "theirs"; }'],
        remove: ["nft", "delete", "table", "bridge", "banger"],
        names: "bridge banger",
      },
      {
        make: ["ip", "tuntap", "add", "dev", `bgr-${id.slice(0, 8)}`, "mode", "tap"],
        remove: ["ip", "link", "del", `bgr-${id.slice(0, 8)}`],
        names: `bgr-${id.slice(0, 8)}`,
      },
    ];
    for (const { make, remove, names } of cases) {
      await lab.run("host", make);
      const before = await lab.snapshot();
      const error = await refused(attach(daemon, id));
      expect(error).toMatchObject({ code: "conflict", message: expect.stringContaining(names) });
      expect(error.hint).toContain(remove.join(" "));
      await detach(daemon, id);
      expect(await lab.snapshot()).toBe(before);
      await lab.run("host", remove);
    }
    await attach(daemon, id);
  },
);

hostTest("a subnet that the host reaches elsewhere is refused", async () => {
  await using lab = await NetLab.create();
  await lab.ip(
    "host",
    "link add vpn0 type bridge",
    "addr add 10.240.7.1/13 dev vpn0",
    "link set dev vpn0 up",
  );
  const before = await lab.snapshot();
  const daemon = lab.daemon();
  const error = await refused(attach(daemon, newId()));
  expect(error).toMatchObject({ code: "conflict", message: expect.stringContaining('"vpn0"') });
  expect(error.hint).toContain("network.subnet");
  expect(await lab.snapshot()).toBe(before);
  const elsewhere = lab.daemon({ subnet: "172.31.9.0/28" });
  expect((await attach(elsewhere, newId())).address as string).toBe("172.31.9.2/28");
});

networkTest("a changed subnet waits for the machines that use the old one", async (makeLab) => {
  await using lab = await makeLab();
  const old = lab.daemon();
  const a = newId();
  await attach(old, a);
  const changed = lab.daemon({ subnet: "10.99.0.0/24" });
  expect(await refused(attach(changed, newId()))).toMatchObject({ code: "conflict" });
  await detach(changed, a);
  expect((await attach(changed, newId())).address as string).toBe("10.99.0.2/24");
});

networkTest("bridges of different names live side by side", async (makeLab) => {
  await using lab = await makeLab();
  const before = await lab.snapshot();
  const usual = lab.daemon();
  const other = lab.daemon({ bridge: "lab-1", subnet: "10.99.0.0/24" });
  const [a, b] = [newId(), newId()];
  await lab.plug("a", await attach(usual, a));
  await lab.plug("b", await attach(other, b));
  expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
  expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
  expect(await lab.ask("a", "10.99.0.2", NO_ANSWER_MS)).toBeUndefined();
  await detach(usual, a);
  expect(await lab.ask("b", OUTSIDE)).toBe(HOST_OUTSIDE);
  await detach(other, b);
  expect(await lab.snapshot()).toBe(before);
});

networkTest("nothing is left when a device was taken away in the meantime", async (makeLab) => {
  await using lab = await makeLab();
  const daemon = lab.daemon();
  const before = await lab.snapshot();
  const a = newId();
  const { tap } = await attach(daemon, a);
  await lab.ip("host", `link del ${tap}`);
  await detach(daemon, a);
  expect(await lab.snapshot()).toBe(before);
  await attach(daemon, a);
  await lab.ip("host", "link del banger0");
  await detach(daemon, a);
  expect(await lab.snapshot()).toBe(before);
});

networkTest(
  "doctor sees a forward chain that drops, and is content once it lets the bridge through",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const firewall = async (): Promise<Check | undefined> =>
      (await daemon.call<Check[]>({ op: "checks" })).find(({ id }) => id === "net.firewall");
    expect(await firewall()).toMatchObject({ status: "ok" });
    await lab.run("host", ["iptables", "-P", "FORWARD", "DROP"]);
    await lab.run("host", ["iptables", "-N", "DOCKER-USER"]);
    const found = await firewall();
    expect(found).toMatchObject({ status: "warn", detail: expect.stringContaining("docker") });
    await lab.run("host", ["iptables", "-A", "FORWARD", "-j", "DOCKER-USER"]);
    await lab.plug("a", await attach(daemon, newId()));
    expect(await lab.ask("a", OUTSIDE, NO_ANSWER_MS)).toBeUndefined();
    await lab.run("host", ["sh", "-c", (found?.fix ?? "").replaceAll("sudo ", "")]);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    expect(await firewall()).toMatchObject({ status: "ok" });
  },
);
