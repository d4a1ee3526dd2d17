import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { numberOf } from "#cli/workspace/checkpoint.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { printPaged } from "#cli/workspace/pager.ts";
import { checkpointTree } from "#workspace/checkpoint/log.ts";
import { shownName } from "#workspace/names.ts";
import { diffOf, parseNumbers } from "#workspace/out/report.ts";

type Handled = typeof vmCommands.commands.workspace.commands.diff;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output } = context;
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  if (workspace.repositories.length === 0) {
    throw new BangerError(
      "unsupported",
      `Cannot compare "${found.path}": it is not a git repository`,
      {
        hint: `List changed files with: banger vm workspace status ${found.vm.name}`,
      },
    );
  }
  const format = flags.stat ? ["--stat"] : flags.nameStatus ? ["--name-status"] : ["--patch"];
  if (flags.patch && (flags.stat || flags.nameStatus)) {
    const flag = flags.stat ? "--stat" : "--name-status";
    throw new BangerError("invalid_argument", `conflicting options: --patch and ${flag}`);
  }
  const [from, to] = [args.from, args.to].map((text) => text && numberOf(text));
  if (from && (flags.head || flags.staged)) {
    const flag = flags.head ? "--head" : "--staged";
    throw new BangerError("invalid_argument", `conflicting options: a checkpoint and ${flag}`);
  }
  const texts: string[] = [];
  const json: unknown[] = [];
  for (const capture of workspace.repositories) {
    const options = {
      base: from ? { tree: await checkpointTree(capture, from) } : flags.head ? "head" : "import",
      to: to ? await checkpointTree(capture, to) : undefined,
      staged: flags.staged,
      color: output.hasColor("stdout"),
    } as const;
    const prefix =
      capture.root === ""
        ? []
        : [`--src-prefix=a/${capture.root}/`, `--dst-prefix=b/${capture.root}/`];
    if (output.json && flags.patch) {
      const patch = await diffOf(capture, { ...options, color: false, args: ["--patch"] });
      json.push({ path: shownName(capture.root), patch: textOf(patch) });
    } else if (output.json) {
      const numbers = ["--numstat", "-z", "--no-renames"];
      const text = await diffOf(capture, { ...options, color: false, args: numbers });
      json.push(...parseNumbers(text, capture.root));
    } else texts.push(await diffOf(capture, { ...options, args: [...format, ...prefix] }));
  }
  if (output.json) return await output.document(json, () => "");
  await printPaged(context, texts.join(""));
};

/** Bytes that are not UTF-8 are replaced. */
function textOf(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}
