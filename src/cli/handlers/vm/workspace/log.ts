import type { Handler } from "#cli/context.ts";
import { ago } from "#cli/print/ago.ts";
import { table } from "#cli/print/table.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { repositoryPath } from "#cli/workspace/checkpoint.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { logOf } from "#workspace/checkpoint/log.ts";
import { shownName } from "#workspace/names.ts";

type Handled = typeof vmCommands.commands.workspace.commands.log;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output } = context;
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  repositoryPath(found, workspace);
  const [capture] = workspace.repositories;
  const entries = capture ? await logOf(capture) : [];
  await output.document(entries, () =>
    output.quiet
      ? entries.map(({ number }) => String(number)).join("\n")
      : table(
          ["CHECKPOINT", "COMMIT", "CREATED", "MESSAGE"],
          entries.map(({ number, id, createdAt, message }) => [
            String(number),
            id.slice(0, 12),
            ago(createdAt),
            shownName(message),
          ]),
        ),
  );
};
