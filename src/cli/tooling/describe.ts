/** A tooling plan for people, and as data. */
import { table } from "#cli/print/table.ts";
import type { Plan, PlannedTool } from "#tooling/plan.ts";
import { describeVersion } from "#tooling/version.ts";

export function documentOf(plan: Plan) {
  return {
    ...plan,
    tools: plan.tools.map(({ rule, version, reasons }) => ({
      name: rule.name,
      about: rule.about,
      version: version && describeVersion(version),
      packages: rule.packages,
      from: sourceOf({ rule, version, reasons }),
      reasons,
    })),
    commands: plan.commands.map(({ command, reason }) => ({ command, reason })),
  };
}

export function describePlan(plan: Plan): string {
  const { image, tools, commands, env, ports } = plan;
  const parts: string[] = [];
  if (image) parts.push(`Image: ${image.name} (${image.reason})`);
  if (tools.length > 0) {
    const rows = tools.map((tool) => [
      tool.rule.name,
      tool.version ? describeVersion(tool.version) : "any",
      sourceOf(tool),
      tool.reasons.join(", "),
    ]);
    parts.push(table(["TOOL", "VERSION", "FROM", "REASON"], rows));
  }
  if (commands.length > 0) {
    parts.push(
      table(
        ["COMMAND", "REASON"],
        commands.map((each) => [each.command, each.reason]),
      ),
    );
  }
  const names = Object.keys(env);
  if (names.length > 0) parts.push(`Environment: ${names.join(", ")}`);
  if (ports.length > 0) parts.push(`Ports: ${ports.map((port) => `-p ${port}:${port}`).join(" ")}`);
  return parts.length === 0 ? "Nothing to install" : parts.join("\n\n");
}

function sourceOf({ rule, version }: PlannedTool): string {
  const packaged = rule.packages ? "the distribution's packages" : undefined;
  const other = /\b(npm|pip|rustup|go) /.exec(
    (version && rule.version?.install) ?? rule.install ?? "",
  )?.[1];
  if (packaged === undefined) return other ?? "a script";
  return version && other ? `${packaged}, or ${other} for the version` : packaged;
}
