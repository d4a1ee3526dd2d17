import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { type ApplyResult, applyTo, describeApply } from "#workspace/out/apply.ts";

type Handled = typeof vmCommands.commands.workspace.commands.apply;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  const parts = workspace.repositories.flatMap((capture, at) => {
    const { repository, record } = capture;
    // A repository that was made in the machine has nowhere to go.
    if (!repository || (capture.root !== "" && !record)) return [];
    const folder = join(workspace.scratch, `apply-${at}`);
    return [{ path: found.path, capture, repository, folder }];
  });
  if (parts.length === 0) {
    throw new BangerError(
      "unsupported",
      `Cannot apply "${found.path}": it was not imported from a repository`,
      {
        hint: `Copy files with: banger vm cp ${found.vm.name}:${found.path}/. DIRECTORY`,
      },
    );
  }
  // All of it can be applied, or none is.
  const results: ApplyResult[] = [];
  for (const isTrial of flags.check ? [true] : [true, false]) {
    results.length = 0;
    for (const part of parts) {
      const folder = `${part.folder}-${isTrial}`;
      mkdirSync(folder);
      results.push(await applyTo(found.port, { ...part, folder, isTrial }));
    }
  }
  if (results.some(({ continues }) => continues))
    context.output.note("Continued an apply that was interrupted");
  await context.output.document(
    results,
    () => results.map(describeApply).filter(Boolean).join("\n") || "No changes.",
  );
};
