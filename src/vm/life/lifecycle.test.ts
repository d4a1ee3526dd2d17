import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vmStore } from "#test/vm-store.ts";
import type { VmDeps } from "#vm/deps.ts";
import { Events } from "#vm/events.ts";
import { getVm, insertVm } from "#vm/records.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { Commands } from "./requests.ts";

const store = vmStore();

test("a machine with another's disk is complete before the next operation on it has its turn", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-lifecycle-"));
  try {
    const paths = {
      vm: () => ({ folder, disk: join(folder, "disk"), hostKey: join(folder, "key") }),
    };
    const deps = { db: store.db, config: { paths } } as unknown as VmDeps;
    const lifecycle = new Lifecycle(deps, new Events(), {} as Commands);
    const id = "abcd1111abcd";
    insertVm(store.db, {
      id,
      name: "copy",
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
    const original = join(folder, "original");
    writeFileSync(original, "precious");
    const making = lifecycle.make(id, { disk: original });
    const next = lifecycle.inTurn(id, async () => getVm(store.db, id));
    await making;
    expect(await next).toMatchObject({ state: "stopped", intent: undefined });
    expect(readFileSync(join(folder, "disk"), "utf8")).toBe("precious");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
