import { BangerError } from "#base/error.ts";
import { writeErr, writeOut } from "#base/stdio.ts";
import { createRequest } from "#cli/args/create.ts";
import { readEnvironment } from "#cli/args/env.ts";
import type { Context, Handler } from "#cli/context.ts";
import { execRequest, runSession } from "#cli/exec/session.ts";
import { FORWARDED_SIGNALS } from "#cli/interrupt.ts";
import { makeConsoleFilter } from "#cli/print/console.ts";
import { follow } from "#cli/progress/follow.ts";
import type { Input } from "#cli/spec/types.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { planOf, runPlanned, withTools } from "#cli/tooling/prepare.ts";
import { checkpointing } from "#cli/workspace/checkpoint.ts";
import { findVm } from "#cli/workspace/find.ts";
import { checkWorkspace, noteLeftOut, parseWorkspace, runImport } from "#cli/workspace/import.ts";
import type { ForegroundRequest } from "#host/foreground-request.ts";
import type { Plan } from "#tooling/plan.ts";

export type RunInput = Input<typeof vmCommands.commands.run>;

export const run: Handler<typeof vmCommands.commands.run> = (input, context) =>
  runWith(input, context, { plan: planOf(input.flags) });

export interface RunExtras {
  /** Of the tools and packages that the machine needs. */
  plan?: Plan | undefined;
  /** Called before the command, after the import. */
  prepare?: (vm: { id: string }) => Promise<void>;
}

export async function runWith(
  { args, flags }: RunInput,
  context: Context,
  { plan, prepare }: RunExtras,
): Promise<number> {
  if (flags.rm && flags.keep) {
    throw new BangerError("invalid_argument", "conflicting options: --rm and --keep");
  }
  if (flags.foreground && (flags.keep || flags.tty)) {
    const flag = flags.keep ? "--keep" : "--tty";
    throw new BangerError("invalid_argument", `conflicting options: --foreground and ${flag}`);
  }
  if (flags.detach && flags.workspace !== undefined) {
    throw new BangerError("invalid_argument", "conflicting options: --detach and --workspace", {
      hint: "Use: banger vm create --workspace DIR IMAGE, then banger vm exec -d NAME -- COMMAND",
    });
  }
  if (flags.detach) return await runDetached({ args, flags }, context);
  const { entrypoint, workspace, checkpointEvery: every_ms } = flags;
  if (every_ms !== undefined && workspace === undefined) {
    throw new BangerError("invalid_argument", "--checkpoint-every requires --workspace", {
      hint: "Add the project's directory: --workspace .",
    });
  }
  if (workspace !== undefined && flags.foreground) {
    throw new BangerError("invalid_argument", "conflicting options: --foreground and --workspace");
  }
  if (workspace !== undefined) await checkWorkspace(context, workspace);
  const workdir = flags.workdir ?? (workspace && parseWorkspace(workspace).path);
  // The command's own environment; the machine's would outlive it.
  const env = readEnvironment(flags);
  const exec = execRequest(
    args.command,
    { ...flags, workdir },
    plan ? { ...plan.env, ...env } : env,
  );
  const given = createRequest(args.image, flags, { env: [], envFile: [] });
  const { setup } = flags;
  const create = plan ? await withTools(context, plan, { create: given, setup }) : given;
  if (flags.foreground) {
    const request = { create, exec, entrypoint: entrypoint ? [entrypoint] : undefined };
    return await runInForeground({ name: args.image, ...request }, context);
  }
  const open = {
    kind: "run",
    create,
    exec,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
    keep: flags.keep,
    hold: workspace === undefined && prepare === undefined ? undefined : true,
  } as const;
  if (!open.hold) return await runSession(context, open);
  using stack = new DisposableStack();
  return await runSession(context, open, async (name, onProgress) => {
    const vm = await findVm(context, name);
    if (workspace !== undefined) {
      noteLeftOut(context, await runImport(context, { vm, workspace, flags, onProgress }));
    }
    await prepare?.(vm);
    if (plan) await runPlanned(context, plan, { vm: vm.id, flags, onProgress });
    if (every_ms !== undefined && workspace !== undefined)
      stack.use(checkpointing(context, { vm, workspace, every_ms, user: flags.user }));
  });
}

/** The machine stays, and its command with it. */
async function runDetached({ args, flags }: RunInput, context: Context): Promise<number> {
  for (const name of ["rm", "foreground", "interactive"] as const) {
    if (!flags[name] || (name === "interactive" && flags.tty)) continue;
    throw new BangerError("invalid_argument", `conflicting options: --${name} and --detach`, {
      hint:
        name === "interactive"
          ? "Use -t, then attach with: banger vm session attach NAME command"
          : "Remove the machine afterwards with: banger vm rm --force NAME",
    });
  }
  const { entrypoint, user, workdir, tty } = flags;
  const client = await context.daemon();
  const vm = await follow(context, () =>
    client.vm.create(
      {
        ...createRequest(args.image, flags, flags),
        mode: "direct",
        command: args.command.length === 0 ? undefined : args.command,
        entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
        commandOptions: {
          user,
          cwd: workdir,
          terminal: tty || undefined,
        },
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(vm, () => vm.name);
  return 0;
}

async function runInForeground(
  request: Omit<ForegroundRequest, "writeOut" | "writeErr" | "writeConsole" | "stdin">,
  { output, programs }: Context,
): Promise<number> {
  // It answers to signals in its own way.
  for (const signal of FORWARDED_SIGNALS) process.removeAllListeners(signal);
  const { runForeground } = await programs.foreground();
  const stdin = request.exec.stdin ? process.stdin : undefined;
  const filter = makeConsoleFilter({ color: output.hasColor("stdout") });
  const writeConsole = (text: string) => writeOut(filter.push(text));
  return await runForeground({ ...request, writeOut, writeErr, writeConsole, stdin });
}
