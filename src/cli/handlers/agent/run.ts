import { credentialsOf } from "#cli/agent/credentials.ts";
import { carryFiles } from "#cli/agent/files.ts";
import type { Handler } from "#cli/context.ts";
import { runWith } from "#cli/handlers/vm/run.ts";
import type { agentCommands } from "#cli/spec/agent.ts";
import { planOf } from "#cli/tooling/prepare.ts";
import { checkWorkspace } from "#cli/workspace/import.ts";
import { agentOf } from "#tooling/agents.ts";
import { planPackage, withPackage } from "#tooling/plan.ts";

const DEFAULT_IMAGE = "node:22-bookworm";

export const run: Handler<typeof agentCommands.commands.run> = async ({ args, flags }, context) => {
  const agent = agentOf(args.agent);
  if (flags.workspace !== undefined) await checkWorkspace(context, flags.workspace);
  const project = planOf(flags);
  const wanted = { name: agent.package, node: agent.node };
  const plan = project ? withPackage(project, wanted) : planPackage(wanted);
  const credentials = await credentialsOf(context, agent, flags);
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  // Dependencies are installed in the machine, under its policy.
  const profiles = project?.tools.flatMap(({ rule }) => rule.policy ?? []) ?? [];
  const own = Object.entries(agent.env).map(([name, value]) => `${name}=${value}`);
  const input = {
    args: {
      image: flags.image ?? plan.image?.name ?? DEFAULT_IMAGE,
      command: [...agent.command, ...args.arguments],
    },
    flags: {
      ...flags,
      tty: flags.tty || isTerminal,
      interactive: flags.interactive || isTerminal,
      env: [...own, ...credentials.env, ...flags.env],
      secret: [...credentials.secret, ...flags.secret],
      allow: [...agent.allow, ...agent.secrets.flatMap(({ hosts }) => hosts), ...flags.allow],
      policy: [...profiles, ...flags.policy],
      detach: false,
      foreground: false,
      entrypoint: "",
    },
  };
  const prepare = (vm: { id: string }) => carryFiles(context, agent, { vm, user: flags.user });
  return await runWith(input, context, { plan, prepare });
};
