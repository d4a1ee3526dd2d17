import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vmStore } from "#test/vm-store.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { VmRecord } from "#vm/records.ts";
import { makeRoom } from "./room.ts";

const store = vmStore();

test("a template in the background gives way to a machine that does not fit, and to no other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-room-"));
  let asked = 0;
  let isThere = true;
  const nextTemplates = {
    giveWay: async () => {
      asked++;
      return isThere;
    },
  };
  const paths = { vms: join(folder, "vms") };
  const deps = { db: store.db, config: { paths }, nextTemplates } as unknown as VmDeps;
  const vm = (memory_mib: number) => ({ id: "a", name: "a", spec: { memory_mib } }) as VmRecord;
  try {
    await makeRoom(deps, vm(1));
    expect(asked).toBe(0);
    for (isThere of [true, false]) {
      await expect(makeRoom(deps, vm(2 ** 40))).rejects.toMatchObject({ code: "limit_exceeded" });
    }
    expect(asked).toBe(2);
    const none = { ...deps, nextTemplates: undefined };
    await expect(makeRoom(none, vm(2 ** 40))).rejects.toMatchObject({ code: "limit_exceeded" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
