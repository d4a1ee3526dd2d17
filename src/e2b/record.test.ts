import { expect, test } from "bun:test";
import fc from "fast-check";
import { labels, type Vm } from "#api/vm.ts";
import { endLabels, recordLabels, type SandboxRecord, sandboxOf } from "./record.ts";

function machine(own: Record<string, string>): Vm {
  return {
    id: "k3v0q8zj7t1m",
    name: "calm-otter",
    state: "running",
    image: "busybox",
    kernel: "debian",
    mode: "direct",
    cpus: 1,
    memory_mib: 128,
    disk_bytes: 1024 ** 3,
    network: { mode: "none" },
    createdAt: "2026-11-30T00:00:00.000Z",
    labels: own,
  };
}

const plain: SandboxRecord = {
  template: "busybox",
  onTimeout: "kill",
  keepMemory: true,
  autoResume: false,
};

test("a sandbox's record survives in labels that a machine may have", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string({ maxLength: 3000 })), (metadata) => {
      const record = { ...plain, metadata };
      const own = recordLabels(record);
      expect(labels.safeParse(own).success).toBe(true);
      expect(sandboxOf(machine(own))?.record).toEqual(record);
    }),
    { numRuns: 50 },
  );
});

test("more metadata than labels hold is refused", () => {
  const metadata = { key: "x".repeat(60_000) };
  expect(() => recordLabels({ ...plain, metadata })).toThrow("metadata too long");
});

test("the end of a sandbox survives, and a machine without a record is no sandbox", () => {
  const own = { ...recordLabels(plain), ...endLabels(1_796_000_000_000, 300) };
  expect(sandboxOf(machine(own))).toMatchObject({ end_ms: 1_796_000_000_000, timeout_s: 300 });
  expect(sandboxOf(machine({}))).toBeUndefined();
  expect(sandboxOf(machine({ "e2b/record": "{" }))).toBeUndefined();
  expect(sandboxOf({ ...machine(own), state: "removing" })).toBeUndefined();
});
