import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { BootRecord } from "#guest/boot.ts";
import type { BootSpec, Driver } from "#vmm/driver.ts";
import { UnusableMemory } from "./unusable.ts";
import { identify, wake } from "./wake.ts";

/** A link whose agents give these answers, one each. */
function linkOf(...answers: (string[] | BangerError)[]) {
  const asked: number[] = [];
  const agents = answers.map((answer, index) => ({
    hello: { isTemplate: true },
    closed: Promise.resolve(),
    close() {},
    async assume() {
      asked.push(index);
      if (answer instanceof BangerError) throw answer;
      return answer;
    },
  }));
  const link = {
    agent: async () => agents[asked.length] as unknown as Agent,
    whileAlive: async <T>(work: Promise<T>) => await work,
  };
  return { link, agents, asked };
}

const lost = new BangerError("timeout", "timed out waiting for the guest agent");

test("a machine that drops its new connection is asked again over another one", async () => {
  const { link, agents, asked } = linkOf(lost, lost, ["a warning"]);
  const { agent, warnings } = await identify(link, new Uint8Array(), undefined);
  expect(warnings).toEqual(["a warning"]);
  expect(agent).toBe(agents[2] as unknown as Agent);
  expect(asked).toEqual([0, 1, 2]);
});

test("a machine that does not even greet is asked again over another connection", async () => {
  const { link, asked } = linkOf([]);
  const limits: (number | undefined)[] = [];
  const silent: Parameters<typeof identify>[0] = {
    ...link,
    async agent(_signal, options) {
      if (limits.push(options?.timeout_ms) < 3) throw lost;
      return await link.agent();
    },
  };
  expect((await identify(silent, new Uint8Array(), undefined)).warnings).toEqual([]);
  expect({ limits, asked }).toEqual({ limits: [5000, 10_000, 20_000], asked: [0] });
});

test("a machine that refuses its identity, or never answers, ends the attempt", async () => {
  const refused = new BangerError("guest", "The boot record is malformed");
  await expect(identify(linkOf(refused, []).link, new Uint8Array(), undefined)).rejects.toBe(
    refused,
  );
  const silent = linkOf(lost, lost, lost, lost, []);
  await expect(identify(silent.link, new Uint8Array(), undefined)).rejects.toBe(lost);
  expect(silent.asked).toHaveLength(4);
});

test("memory is given up for a VMM that refuses it alone", async () => {
  const runtime = mkdtempSync(join(tmpdir(), "banger-wake-"));
  const spec = { initrdPath: join(runtime, "initrd") } as BootSpec;
  const record: BootRecord = {
    mode: "direct",
    hostname: "box",
    rootfs: { kind: "overlay", lowers: 0 },
    authorizedKeys: [],
    modules: [],
    env: {},
    machineId: "0".repeat(32),
    time_unix_ns: 0n,
    entropySeed: new Uint8Array(64),
  };
  const options = {
    runtime,
    memory: { memoryPath: "memory", statePath: "state" },
    signal: undefined,
  };
  const failing = (error: Error) =>
    wake({ restore: () => Promise.reject(error) } as unknown as Driver, { spec, record }, options);
  try {
    const refusal = new BangerError("integrity", "load of migration failed");
    await expect(failing(refusal)).rejects.toBeInstanceOf(UnusableMemory);
    const full = new BangerError("limit_exceeded", "Cannot allocate memory");
    await expect(failing(full)).rejects.toBe(full);
  } finally {
    rmSync(runtime, { recursive: true });
  }
});
