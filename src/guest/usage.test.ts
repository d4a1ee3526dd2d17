/** Ports and stats through the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { cpus, totalmem } from "node:os";
import { agentFixture } from "#test/guest-fixture.ts";

const fixture = agentFixture();

test("ports names every listener with its address and its process", async () => {
  const v4 = createServer();
  const v6 = createServer();
  const datagrams = createSocket("udp4");
  await new Promise<void>((resolve) => v4.listen(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve) => v6.listen(0, "::1", resolve));
  await new Promise<void>((resolve) => datagrams.bind(0, "127.0.0.1", () => resolve()));
  const portOf = (server: typeof v4): number => {
    const address = server.address();
    return typeof address === "object" && address ? address.port : 0;
  };
  try {
    const ports = await fixture.agent.ports();
    const ours = ports.filter(({ process: owner }) => owner?.pid === process.pid);
    const uid = process.getuid?.() ?? 0;
    const owner = { pid: process.pid, name: expect.any(String) };
    for (const expected of [
      { protocol: "tcp", address: "127.0.0.1", port: portOf(v4), uid, process: owner },
      { protocol: "tcp", address: "::1", port: portOf(v6), uid, process: owner },
      {
        protocol: "udp",
        address: "127.0.0.1",
        port: datagrams.address().port,
        uid,
        process: owner,
      },
    ]) {
      expect(ours).toContainEqual(expected as (typeof ours)[number]);
    }
  } finally {
    v4.close();
    v6.close();
    datagrams.close();
  }
  expect((await fixture.agent.ports()).some(({ port }) => port === portOf(v4))).toBe(false);
});

test("stats are those of this computer, and counters go up", async () => {
  const first = await fixture.agent.stats();
  expect(first.cpu.count).toBeGreaterThanOrEqual(1);
  expect(first.cpu.count).toBeLessThanOrEqual(cpus().length);
  expect(first.memory.total_bytes).toBe(totalmem());
  expect(first.memory.available_bytes).toBeLessThanOrEqual(first.memory.total_bytes);
  expect(first.space.used_bytes).toBeLessThanOrEqual(first.space.total_bytes);
  expect(first.processes).toBeGreaterThan(1);
  const loopback = first.interfaces.find(({ name }) => name === "lo");
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("x") });
  await (await fetch(server.url)).text();
  await server.stop(true);
  const second = await fixture.agent.stats();
  const later = second.interfaces.find(({ name }) => name === "lo");
  expect(later?.read_bytes).toBeGreaterThan(loopback?.read_bytes ?? Number.NaN);
  expect(second.uptime_ms).toBeGreaterThanOrEqual(first.uptime_ms);
});
