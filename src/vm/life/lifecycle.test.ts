import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vmStore } from "#test/vm-store.ts";
import type { VmDeps } from "#vm/deps.ts";
import { Events } from "#vm/events.ts";
import { getVm, insertVm } from "#vm/records.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { Commands } from "./requests.ts";

const store = vmStore();

/** A lifecycle with a machine whose record was just made. */
async function withMachine(
  work: (machine: { lifecycle: Lifecycle; id: string; folder: string }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "banger-lifecycle-"));
  const paths = {
    vm: () => ({ folder, disk: join(folder, "disk"), hostKey: join(folder, "key") }),
  };
  const deps = { db: store.db, config: { paths } } as unknown as VmDeps;
  const lifecycle = new Lifecycle(deps, new Events(), {} as Commands);
  const id = Math.random().toString(36).slice(2, 14).padEnd(12, "0");
  insertVm(store.db, {
    id,
    name: `copy-${id}`,
    imageId: "img1",
    kernel: "k",
    spec: {
      mode: "direct",
      cpus: 1,
      memory_mib: 512,
      disk_bytes: 1 << 30,
      network: "none",
      mac: "02:00:00:00:00:01",
      machineId: "0".repeat(32),
      env: {},
    },
  });
  try {
    await work({ lifecycle, id, folder });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a machine with another's disk is complete before the next operation on it has its turn", async () => {
  await withMachine(async ({ lifecycle, id, folder }) => {
    const original = join(folder, "original");
    writeFileSync(original, "precious");
    const making = lifecycle.make(id, { disk: original });
    const next = lifecycle.inTurn(id, async () => getVm(store.db, id));
    await making;
    expect(await next).toMatchObject({ state: "stopped", intent: undefined });
    expect(readFileSync(join(folder, "disk"), "utf8")).toBe("precious");
  });
});

test("the disk of a machine is made with it, unless its first start does that", async () => {
  for (const isDiskLater of [true, false]) {
    await withMachine(async ({ lifecycle, id, folder }) => {
      await lifecycle.make(id, { isDiskLater });
      expect(existsSync(join(folder, "key"))).toBe(true);
      expect(existsSync(join(folder, "disk"))).toBe(!isDiskLater);
      expect(getVm(store.db, id)).toMatchObject({ state: "stopped", intent: "create" });
    });
  }
});
