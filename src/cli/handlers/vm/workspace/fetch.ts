import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { OBJECTS_MAX_BYTES } from "#workspace/guest/objects.ts";
import { shownName, someOf } from "#workspace/names.ts";
import { type FetchResult, fetchInto } from "#workspace/out/fetch.ts";

type Handled = typeof vmCommands.commands.workspace.commands.fetch;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output } = context;
  const found = await findWorkspace(context, args.workspace, flags);
  const max_bytes = flags.maxSize ?? OBJECTS_MAX_BYTES;
  using workspace = await open(context, found, max_bytes);
  const prefix = `refs/banger/${found.vm.name}`;
  const results: (FetchResult & { path: string })[] = [];
  for (const [at, capture] of workspace.repositories.entries()) {
    const { repository, root } = capture;
    if (!repository) continue;
    const scratch = join(workspace.scratch, `fetch-${at}`);
    results.push({
      path: root,
      ...(await fetchInto(repository, capture, { prefix, scratch, max_bytes })),
    });
    if (capture.leftOut.length > 0)
      output.warn(`left out, not allowed in a repository: ${someOf(capture.leftOut)}`);
  }
  if (results.length === 0) {
    throw new BangerError(
      "invalid_state",
      `Cannot fetch "${found.path}": no repository on this host to fetch into`,
      {
        hint: "Run the command in the repository, or name it with --repo",
      },
    );
  }
  for (const { refused } of results) {
    if (refused.length > 0) output.warn(`refused, invalid ref names: ${someOf(refused)}`);
  }
  await output.document(results, () => results.flatMap(linesOf).join("\n"));
};

/** As `git fetch` prints them. */
function linesOf({ path, refs, removed }: FetchResult & { path: string }): string[] {
  const changed = refs.filter(({ id, before }) => id !== before);
  const lines = changed.map(({ name, id, before }) => {
    const what = before ? `${before.slice(0, 12)}..${id.slice(0, 12)}` : "[new]";
    return ` ${before ? " " : "*"} ${what.padEnd(26)} ${shownName(name)}`;
  });
  lines.push(...removed.map((name) => ` - ${"[deleted]".padEnd(26)} ${shownName(name)}`));
  if (lines.length === 0) lines.push("Already up to date.");
  return path === "" ? lines : [`In ${shownName(path)}:`, ...lines];
}
