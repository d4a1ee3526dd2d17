import type { Context, Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { type FoundWorkspace, findWorkspace, open } from "#cli/workspace/find.ts";
import { printPaged } from "#cli/workspace/pager.ts";
import { shownName } from "#workspace/names.ts";
import type { OpenWorkspace } from "#workspace/open.ts";
import { folderStatus } from "#workspace/out/folder-status.ts";
import { parseStatus, statusOf } from "#workspace/out/report.ts";

type Handled = typeof vmCommands.commands.workspace.commands.status;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output } = context;
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  if (workspace.repositories.length === 0) return await printFolder(context, found, workspace);
  const color = output.hasColor("stdout");
  const format = output.json ? "porcelain" : flags.short ? "short" : "long";
  const parts: {
    root: string;
    branch: string | undefined;
    head: string | undefined;
    text: string;
  }[] = [];
  const all = workspace.repositories;
  for (const capture of all) {
    const { branch, head } = capture.refs;
    parts.push({
      root: capture.root,
      branch,
      head,
      text: await statusOf(capture, { all, format, color }),
    });
  }
  if (output.json) {
    const json = parts.map(({ text, root, ...rest }) => ({
      path: root,
      ...rest,
      changes: parseStatus(text),
    }));
    return await output.document(json, () => "");
  }
  const texts = parts.map(({ root, text }) => (root === "" ? text : `\nIn ${root}:\n${text}`));
  await printPaged(context, texts.join(""));
};

async function printFolder(
  { output }: Context,
  { record }: FoundWorkspace,
  { tree }: OpenWorkspace,
): Promise<void> {
  const changes = folderStatus(record, tree);
  await output.document(changes, () =>
    changes.map(({ status, path }) => `${status} ${shownName(path)}`).join("\n"),
  );
}
