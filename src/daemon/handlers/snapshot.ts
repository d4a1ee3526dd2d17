/** Procedures for snapshots of machines and copies of them. */
import { statGivenFile } from "#base/files/given-path.ts";
import type { Base } from "./base.ts";

export function snapshotHandlers({ os, stream, services }: Base) {
  const { snapshots } = services;
  return {
    list: os.snapshot.list.handler(() => snapshots.list()),
    show: os.snapshot.show.handler(({ input }) => snapshots.show(input.name)),
    create: os.snapshot.create.handler(({ input: { name, ...wanted }, signal }) =>
      stream(signal, (work) => snapshots.create(name, { ...wanted, ...work })),
    ),
    remove: os.snapshot.remove.handler(({ input }) => {
      snapshots.remove(input.name);
      return {};
    }),
    export: os.snapshot.export.handler(({ input: { name, ...wanted }, signal }) =>
      stream(signal, (work) => snapshots.export(name, { ...wanted, ...work })),
    ),
    import: os.snapshot.import.handler(({ input: { path, name }, signal }) =>
      stream(signal, async (work) => {
        statGivenFile(path, "a snapshot");
        return await snapshots.import(path, { name, ...work });
      }),
    ),
  };
}

export function vmSnapshotHandlers({ os, stream, services }: Base) {
  const { snapshots } = services;
  return {
    restore: os.vm.restore.handler(({ input, signal }) =>
      stream(signal, (work) => snapshots.restore(input.name, input.snapshot, work)),
    ),
    fork: os.vm.fork.handler(({ input, signal }) =>
      stream(signal, (work) => snapshots.fork(input, work)),
    ),
  };
}
