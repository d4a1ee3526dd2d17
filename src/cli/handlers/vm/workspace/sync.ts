import { realpathSync, statSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import type { Context, Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { type FoundWorkspace, findWorkspace } from "#cli/workspace/find.ts";
import { livePort } from "#cli/workspace/live-port.ts";
import type { Direction } from "#workspace/live/compare.ts";
import type { Carried } from "#workspace/live/round.ts";
import { syncWorkspace } from "#workspace/live/sync.ts";
import { shownName } from "#workspace/names.ts";

type Handled = typeof vmCommands.commands.workspace.commands.sync;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const found = await findWorkspace(context, args.workspace, {});
  const source = sourceOf(found, args.dir);
  const direction = directionOf(flags);
  const { path, folder, vm } = found;
  if (!flags.once) output.note(`Mirroring ${safeLine(source)} and ${vm.name}:${safeLine(path)}`);
  await syncWorkspace(
    livePort(context, vm, flags.user),
    { path, source, direction, folder, once: flags.once },
    {
      signal: interrupt.signal,
      onCarried: (carried) => print(context, carried),
      onNote: output.note,
      onSettled: () => output.json || output.note("Up to date"),
    },
  );
};

function directionOf({ toVm, fromVm }: { toVm: boolean; fromVm: boolean }): Direction {
  if (toVm && fromVm) {
    throw new BangerError("invalid_argument", "conflicting options: --to-vm and --from-vm", {
      hint: "Leave both out to mirror both ways",
    });
  }
  if (toVm) return "to-vm";
  return fromVm ? "from-vm" : "both";
}

function sourceOf({ record, path, vm }: FoundWorkspace, dir: string | undefined): string {
  const source = dir ?? record?.source;
  if (source === undefined) {
    throw new BangerError("not_found", `no workspace "${path}" was imported into "${vm.name}"`, {
      hint: `Import one with: banger vm workspace import ${vm.name} DIR, or name the directory to mirror`,
    });
  }
  const isFolder = statSync(source, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder) return realpathSync(source);
  throw new BangerError("not_found", `Cannot mirror "${source}": no such directory`);
}

async function print({ output }: Context, carried: Carried): Promise<void> {
  const { kind, name, as } = carried;
  const shown = shownName(name);
  const told = as === undefined ? {} : { as: shownName(as) };
  if (kind === "secret") {
    return output.json || output.quiet
      ? undefined
      : output.note(`Left out, may hold secrets: ${shown}`);
  }
  await output.item({ kind, name: shown, ...told }, `${WORDS[kind]} ${shown}${keptAs(carried)}`);
}

function keptAs({ as }: Carried): string {
  return as === undefined ? "" : ` (the other version is kept as ${shownName(as)})`;
}

const WORDS: Record<Exclude<Carried["kind"], "secret">, string> = {
  sent: "to-vm   ",
  fetched: "from-vm ",
  "removed-vm": "removed in the machine:",
  "removed-host": "removed on the host:",
  conflict: "conflict",
  spared: "kept, changed on the other side:",
  refused: "cannot write on the host:",
  "too-large": "left out, larger than 1 GiB:",
};
