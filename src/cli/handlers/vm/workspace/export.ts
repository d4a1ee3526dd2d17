import { existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { exportBundle, exportTar, patchOf, writeWhole } from "#workspace/out/export.ts";

type Handled = typeof vmCommands.commands.workspace.commands.export;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const chosen = (["patch", "tar", "bundle"] as const).filter((name) => flags[name]);
  if (chosen.length > 1) {
    throw new BangerError("invalid_argument", `conflicting options: --${chosen.join(" and --")}`);
  }
  const file = resolve(args.file);
  if (existsSync(file) && !flags.force) {
    throw new BangerError("already_exists", `Cannot write "${args.file}": file exists`, {
      hint: "Overwrite it with --force",
    });
  }
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  const format = chosen[0] ?? "patch";
  if (format === "tar") {
    const files = await exportTar(found.port, { path: found.path, workspace, file });
    return await context.output.document({ file, format, files }, () => file);
  }
  const [capture] = workspace.repositories;
  if (!capture) {
    throw new BangerError(
      "unsupported",
      `Cannot export a ${format} of "${found.path}": it is not a git repository`,
      {
        hint: "Export the files with --tar",
      },
    );
  }
  if (format === "bundle") await exportBundle(capture, file);
  else {
    const patch = await patchOf(capture);
    await writeWhole(file, async (staging) => writeFileSync(staging, patch));
  }
  await context.output.document({ file, format }, () => file);
};
