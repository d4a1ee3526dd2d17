/** `--tooling`: an image with the project's tools before the machine is created, its dependencies after the import. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { VmCreate } from "#api/vm.ts";
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import type { OnProgress } from "#base/progress.ts";
import { OutputTail } from "#base/shell/output-tail.ts";
import { readGiven } from "#cli/args/dockerfile.ts";
import { slugOf } from "#cli/args/name.ts";
import type { Context } from "#cli/context.ts";
import { openStream } from "#cli/exec/open.ts";
import { follow } from "#cli/progress/follow.ts";
import { parseWorkspace } from "#cli/workspace/import.ts";
import { toolingDockerfile } from "#tooling/dockerfile.ts";
import { type Plan, planTooling } from "#tooling/plan.ts";
import { Project } from "#tooling/project.ts";

export interface ToolingFlags {
  tooling: boolean;
  setup: string | undefined;
  workspace: string | undefined;
  user?: string | undefined;
}

/** Throws if the flags make no sense together. Undefined without --tooling. */
export function planOf(flags: ToolingFlags): Plan | undefined {
  if (!flags.tooling) {
    if (flags.setup === undefined) return undefined;
    throw new BangerError("invalid_argument", "--setup requires --tooling");
  }
  if (flags.workspace === undefined) {
    throw new BangerError("invalid_argument", "--tooling requires --workspace", {
      hint: "Add the project's directory: --workspace .",
    });
  }
  return planTooling(parseWorkspace(flags.workspace).source);
}

/** Builds an image with the plan's tools, or finds the one that was built before; gives the request for its machine. */
export async function withTools(
  context: Context,
  plan: Plan,
  { create, setup }: { create: VmCreate; setup: string | undefined },
): Promise<VmCreate> {
  for (const note of plan.notes) context.output.note(safeLine(note));
  const image = create.image ?? plan.image?.name;
  if (image === undefined) {
    throw new BangerError("invalid_argument", "--tooling requires an image");
  }
  const script = setup === undefined ? undefined : readGiven(setup);
  const user = await userOf(context, image);
  const base = { image, user, setup: script === undefined ? undefined : "setup" };
  const text = toolingDockerfile(plan, base);
  if (text === undefined) return { ...create, image };
  const folder = mkdtempSync(join(tmpdir(), "banger-tooling-"));
  try {
    const project = new Project(plan.project ?? folder);
    for (const name of text.files) {
      const target = join(folder, name);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, project.read(name));
    }
    if (script !== undefined) writeFileSync(join(folder, "setup"), script);
    const client = await context.daemon();
    const { kernel, network } = create;
    const request = {
      name: nameOf(plan, image),
      dockerfile: text.dockerfile,
      context: folder,
      kernel,
      network: network === "none" ? undefined : network,
    };
    const { signal } = context.interrupt;
    const built = await follow(context, () => client.image.build(request, { signal }));
    return { ...create, image: built.name };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The image's own user, which the build would otherwise replace. Pulls the image if it is not there. */
async function userOf(context: Context, reference: string): Promise<string | undefined> {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const find = async () => {
    try {
      return await client.image.show({ name: reference }, { signal });
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
  };
  const image =
    (await find()) ?? (await follow(context, () => client.image.pull({ reference }, { signal })));
  const { user } = image.config;
  return user !== undefined && /^[\w.:-]+$/.test(user) ? user : undefined;
}

/** One image for each project and base image; a changed plan replaces it. */
function nameOf(plan: Plan, image: string): string {
  const base = slugOf([basename(plan.project ?? ""), ...plan.packages].join("-"));
  const identity = [plan.project ?? "", ...plan.packages, image].join("\n");
  const hash = hexOf(sha256(identity)).slice(0, 8);
  return `${base.slice(0, 60) || "project"}-tooling-${hash}`;
}

/** Runs the plan's commands in the project's directory in the machine. */
export async function runPlanned(
  context: Context,
  plan: Plan,
  at: { vm: string; flags: ToolingFlags; onProgress: OnProgress | undefined },
): Promise<void> {
  const { path: cwd } = parseWorkspace(at.flags.workspace ?? "");
  for (const [index, { command, reason }] of plan.commands.entries()) {
    const step = `tooling ${index}`;
    const message = `Running ${safeLine(command)}`;
    at.onProgress?.({ step, message });
    const output = new OutputTail();
    const add = (bytes: Uint8Array): void => {
      const lines = output.add(bytes);
      if (lines.length > 0) at.onProgress?.({ step, message, lines });
    };
    const { user } = at.flags;
    const exec = { argv: ["sh", "-c", command], cwd, user, env: plan.env, stdin: false };
    const open = { kind: "exec", vm: at.vm, exec } as const;
    const connection = openStream(context, open, { onStdout: add, onStderr: add });
    try {
      await connection.started;
      const exit = await connection.exited;
      if ("code" in exit && exit.code === 0) continue;
      const how = "code" in exit ? `exit status ${exit.code}` : `signal ${exit.signal}`;
      throw new BangerError(
        "guest",
        `Cannot run "${safeLine(command)}" (${safeLine(reason)}): ${how}:\n${output.end()}`,
        { hint: "Omit --tooling to use the machine without the project's dependencies" },
      );
    } finally {
      connection.close();
    }
  }
}
