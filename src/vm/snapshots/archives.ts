/** Exports and imports snapshots as archives. */
import type { Snapshot } from "#api/snapshot.ts";
import { snapshotName } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { exportSnapshot, importSnapshot } from "#snapshots/archive.ts";
import type { VmDeps } from "#vm/deps.ts";
import { imageOf, toSnapshot } from "./show.ts";

export class SnapshotArchives {
  readonly #deps: VmDeps;

  constructor(deps: VmDeps) {
    this.#deps = deps;
  }

  async export(
    name: string,
    options: WorkOptions & { path: string; force?: boolean | undefined },
  ): Promise<{ path: string; size_bytes: number }> {
    const found = this.#deps.snapshots.find(name);
    this.#deps.snapshots.assertDisk(found);
    const isWhole = !found.record.memory || this.#deps.snapshots.isMemoryWhole(found);
    if (!isWhole) {
      throw new BangerError(
        "integrity",
        `Cannot export snapshot "${name}": its memory was changed`,
      );
    }
    return { path: options.path, size_bytes: await exportSnapshot(found, options) };
  }

  async import(
    path: string,
    { name: given, ...options }: WorkOptions & { name?: string | undefined },
  ): Promise<Snapshot> {
    const { snapshots } = this.#deps;
    if (given !== undefined) snapshots.assertFree(given);
    const made = await snapshots.add(async (files) => {
      let name = "";
      const onRecord = (own: string): void => {
        name = given ?? checkedName(own);
        snapshots.assertFree(name);
      };
      const record = await importSnapshot(path, files, { ...options, onRecord });
      const image = imageOf(this.#deps, record);
      const here = { ...record.image, id: image?.id ?? "" };
      return { name, record: { ...record, image: here, token: undefined, labels: undefined } };
    });
    return toSnapshot(made);
  }
}

function checkedName(name: string): string {
  if (snapshotName.safeParse(name).success) return name;
  throw new BangerError("integrity", "Cannot import the snapshot: invalid name in the archive", {
    hint: "Give it one: banger vm snapshot import FILE NAME",
  });
}
