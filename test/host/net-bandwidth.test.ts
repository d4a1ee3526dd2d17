/** Limits of what a machine receives and sends, with real frames, read from the kernel's own counters. */
import { expect } from "bun:test";
import { newId } from "#base/id.ts";
import { type BandwidthCounters, intermediateName } from "#net/bandwidth/bandwidth.ts";
import { attach, detach } from "#test/net-calls.ts";
import { HOST_OUTSIDE, type NetLab, OUTSIDE } from "#test/net-lab.ts";
import { networkTest } from "#test/net-twice.ts";

const FLOW_BYTES = 4 * 1024 * 1024;
const FLOW_PORT = 8081;
const RATE = 1024 * 1024;

/** Sends and receives FLOW_BYTES at the same time; gives how long the slower direction took. */
const SERVER = `Bun.listen({ hostname: "0.0.0.0", port: ${FLOW_PORT}, socket: { data(s, d) {
    s.data.heard += d.length; if (s.data.heard === ${FLOW_BYTES}) s.end("whole"); },
  open(s) { s.data = { heard: 0 }; } } }); console.log("ready");`;
const SENDER = `const [hostname] = process.argv.slice(1);
  const from_ms = performance.now();
  let left = ${FLOW_BYTES};
  const chunk = Buffer.alloc(65536);
  const push = (s) => { while (left > 0) { const n = s.write(chunk.subarray(0, Math.min(left, chunk.length)));
    if (n <= 0) return; left -= n; } };
  await Bun.connect({ hostname, port: ${FLOW_PORT}, socket: { open: push, drain: push,
    data() { console.log(Math.round(performance.now() - from_ms)); process.exit(0); },
    close() { process.exit(1); }, error() { process.exit(1); } } });`;

interface Queue {
  kind: string;
  options: { rate?: number };
}

async function queuesOf(lab: NetLab, device: string): Promise<Queue[]> {
  const text = await lab.run("host", ["tc", "-json", "qdisc", "show", "dev", device]);
  return (JSON.parse(text) as Queue[]).filter(({ kind }) => kind === "tbf");
}

/** Gives how long the flow took. */
async function flow(lab: NetLab, from: string, to: string): Promise<number> {
  return Number(await lab.run(from, [process.execPath, "-e", SENDER, to]));
}

networkTest(
  "a machine receives and sends no more than its limits",
  async (makeLab) => {
    await using lab = await makeLab({ isOffloaded: true });
    const daemon = lab.daemon();
    const before = await lab.snapshot();
    const id = newId();
    const bandwidth = { in_bytes_per_s: RATE, out_bytes_per_s: 2 * RATE };
    const attachment = await attach(daemon, id, { bandwidth });
    await lab.plug("a", attachment);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    await lab.serve("a", [process.execPath, "-e", SERVER]);
    await lab.serve("host", [process.execPath, "-e", SERVER]);
    // No faster than the rate, less what may pass at once.
    const least_ms = (rate: number): number => (0.9 * FLOW_BYTES * 1000) / rate;
    // Not to the outside, where pasta ends connections that a busy computer is slow to acknowledge.
    expect(await flow(lab, "a", attachment.gateway)).toBeGreaterThan(least_ms(2 * RATE));
    expect(await flow(lab, "host", attachment.address.split("/")[0] ?? "")).toBeGreaterThan(
      least_ms(RATE),
    );
    const counters = await daemon.call<BandwidthCounters>({
      op: "bandwidthCounters",
      machineId: id,
    });
    for (const queue of [counters.in, counters.out]) {
      expect(queue?.bytes).toBeGreaterThan(FLOW_BYTES);
      expect(queue?.packets).toBeGreaterThan(0);
      expect(queue?.throttled).toBeGreaterThan(0);
    }
    await detach(daemon, id);
    expect(await lab.snapshot()).toBe(before);
  },
  { needs: ["tc"], isShort: true },
);

networkTest(
  "limits change and go while the machine is connected",
  async (makeLab) => {
    await using lab = await makeLab();
    const daemon = lab.daemon();
    const id = newId();
    const attachment = await attach(daemon, id);
    const { tap } = attachment;
    const intermediate = intermediateName(tap);
    const set = async (in_bytes_per_s: number, out_bytes_per_s: number) =>
      await daemon.call({
        op: "setBandwidth",
        machineId: id,
        bandwidth: { in_bytes_per_s, out_bytes_per_s },
      });
    const rates = async () => {
      const links = await lab.run("host", ["ip", "-brief", "link"]);
      const devices = [tap, intermediate].filter((each) => links.includes(each));
      return await Promise.all(
        devices.map(async (each) => (await queuesOf(lab, each)).map(({ options }) => options.rate)),
      );
    };
    await lab.plug("a", attachment);
    expect(await rates()).toEqual([[]]);
    await set(0, RATE);
    expect(await rates()).toEqual([[], [RATE]]);
    await set(3 * RATE, 2 * RATE);
    expect(await rates()).toEqual([[3 * RATE], [2 * RATE]]);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    // As a daemon leaves it that was killed between the device and what leads frames there.
    await lab.run("host", ["tc", "qdisc", "del", "dev", tap, "ingress"]);
    await set(3 * RATE, RATE);
    const filters = await lab.run("host", ["tc", "filter", "show", "dev", tap, "parent", "ffff:"]);
    expect(filters.match(/Redirect to device/g)).toHaveLength(1);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    await set(3 * RATE, 2 * RATE);
    await lab.run("host", ["tc", "qdisc", "del", "dev", tap, "ingress"]);
    await set(RATE, 0);
    expect(await rates()).toEqual([[RATE]]);
    await set(0, 0);
    expect(await rates()).toEqual([[]]);
    expect(await lab.ask("a", OUTSIDE)).toBe(HOST_OUTSIDE);
    await set(0, RATE);
    await lab.ip("host", `link del dev ${tap}`);
    await detach(daemon, id);
    expect(await lab.run("host", ["ip", "-brief", "link"])).not.toContain(intermediate);
  },
  { needs: ["tc"] },
);
