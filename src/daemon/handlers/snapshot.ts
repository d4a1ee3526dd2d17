/** Procedures for snapshots of machines and copies of them. */
import { statGivenFile } from "#base/files/given-path.ts";
import { sees } from "#daemon/serve/authorize.ts";
import type { Base } from "./base.ts";

export function snapshotHandlers({ os, stream, services }: Base) {
  const { snapshots } = services;
  return {
    list: os.snapshot.list.handler(({ context }) =>
      snapshots.list().filter((snapshot) => sees(context.caller, snapshot)),
    ),
    show: os.snapshot.show.handler(({ input }) => snapshots.show(input.name)),
    create: os.snapshot.create.handler(({ input: { name, ...wanted }, signal, context }) => {
      const { token } = context.caller;
      return stream(signal, (work) => snapshots.create(name, { ...wanted, token, ...work }));
    }),
    remove: os.snapshot.remove.handler(({ input }) => {
      snapshots.remove(input.name);
      return {};
    }),
    export: os.snapshot.export.handler(({ input: { name, ...wanted }, signal }) =>
      stream(signal, (work) => snapshots.archives.export(name, { ...wanted, ...work })),
    ),
    import: os.snapshot.import.handler(({ input: { path, name }, signal }) =>
      stream(signal, async (work) => {
        statGivenFile(path, "a snapshot");
        return await snapshots.archives.import(path, { name, ...work });
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
    fork: os.vm.fork.handler(({ input, signal, context: { caller } }) =>
      stream(signal, (work) => snapshots.fork({ ...input, token: caller.token }, work)),
    ),
  };
}
