import type { Workspace } from "#api/workspace/workspace.ts";
import type { Handler } from "#cli/context.ts";
import { ago } from "#cli/print/ago.ts";
import { table } from "#cli/print/table.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { findVm } from "#cli/workspace/find.ts";
import { listRecords } from "#workspace/record.ts";

type Handled = typeof vmCommands.commands.workspace.commands.list;

export const run: Handler<Handled> = async ({ args }, context) => {
  const { output } = context;
  const { id } = await findVm(context, args.vm);
  const found = listRecords(context.paths.workspaces, id).map(
    ({ path, source, kind, state, importedAt }): Workspace => ({
      path,
      source,
      kind,
      state,
      importedAt,
    }),
  );
  await output.document(found, () =>
    output.quiet
      ? found.map(({ path }) => path).join("\n")
      : table(
          ["PATH", "SOURCE", "KIND", "IMPORTED"],
          found.map(({ path, source, kind, state, importedAt }) => [
            path,
            source,
            kind === "folder" ? "directory" : kind,
            state === "importing" ? "interrupted" : ago(importedAt),
          ]),
        ),
  );
};
