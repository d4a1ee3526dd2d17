import { resolve } from "node:path";
import type { FileCopied } from "#api/file.ts";
import { BangerError } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import { formatSize } from "#base/size.ts";
import { asGuestPath, type GuestPath } from "#cli/args/guest-path.ts";
import type { Context, Handler } from "#cli/context.ts";
import { download, upload } from "#cli/exec/transfer.ts";
import { follow } from "#cli/progress/follow.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

const STDIO = "-";

type Handled = typeof vmCommands.commands.cp;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const [source, target] = [asGuestPath(args.source), asGuestPath(args.target)];
  const user = flags.user === undefined ? {} : { user: flags.user };
  if (source && !target) {
    await copyOut(context, { ...source, ...user }, args.target);
  } else if (target && !source) {
    await copyIn(context, args.source, { ...target, ...user });
  } else {
    throw new BangerError(
      "invalid_argument",
      `Cannot copy "${args.source}" to "${args.target}": ${source ? "both are" : "neither is"} in a machine`,
      {
        hint: source
          ? "Copy between machines with a pipe: banger vm cp one:/path - | banger vm cp - two:/path"
          : "Prefix the guest path with the machine, such as testbox:/etc/hosts",
      },
    );
  }
};

async function copyOut(context: Context, from: GuestPath, to: string): Promise<void> {
  const { name: vm, ...file } = from;
  if (to === STDIO) return await download(context, { kind: "archive", vm, ...file });
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await report(
    context,
    await follow(context, () => client.file.copyOut({ ...from, to: hostPath(to) }, { signal })),
  );
}

async function copyIn(context: Context, from: string, to: GuestPath): Promise<void> {
  const { name: vm, ...file } = to;
  if (from === STDIO) return await upload(context, { kind: "extract", vm, ...file });
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await report(
    context,
    await follow(context, () => client.file.copyIn({ ...to, from: hostPath(from) }, { signal })),
  );
}

async function report({ output }: Context, copied: FileCopied): Promise<void> {
  const { entries, size_bytes, skipped, skippedNames } = copied;
  if (output.json) return await output.document(copied, () => "");
  output.note(`${entries} ${entries === 1 ? "file" : "files"}, ${formatSize(size_bytes)}`);
  if (skipped === 0) return;
  const more = skipped > skippedNames.length ? ", …" : "";
  output.note(`Skipped, not a file or directory: ${skippedNames.map(safeLine).join(", ")}${more}`);
}

/** Absolute, with the "/." or "/" at its end that says what is meant. */
function hostPath(text: string): string {
  const end = /\/\.?$/.exec(text)?.[0] ?? (text === "." ? "/." : "");
  return resolve(text) + end;
}
