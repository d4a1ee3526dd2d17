import { safeLine } from "#base/printable.ts";
import { writeOut } from "#base/stdio.ts";
import type { Handler } from "#cli/context.ts";
import type { toolingCommands } from "#cli/spec/tooling.ts";
import { describePlan, documentOf } from "#cli/tooling/describe.ts";
import { toolingDockerfile } from "#tooling/dockerfile.ts";
import { planTooling } from "#tooling/plan.ts";

/** For a Dockerfile of a project that names no image. */
const DEFAULT_IMAGE = "debian:bookworm";

export const run: Handler<typeof toolingCommands.commands.plan> = async (
  { args, flags },
  { output },
) => {
  const plan = planTooling(args.path ?? ".");
  if (flags.dockerfile) {
    const image = plan.image?.name ?? DEFAULT_IMAGE;
    const text = toolingDockerfile(plan, { image, user: undefined });
    return await writeOut(text?.dockerfile ?? `FROM ${image}\n`);
  }
  await output.document(documentOf(plan), () => describePlan(plan));
  if (!output.json) for (const note of plan.notes) output.note(safeLine(note));
};
