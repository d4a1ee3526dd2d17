import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { agentCommands } from "#cli/spec/agent.ts";
import { listAgents } from "#tooling/agents.ts";

export const run: Handler<typeof agentCommands.commands.list> = async (_, { output }) => {
  const agents = listAgents();
  await output.document(agents, () =>
    output.quiet
      ? agents.map(({ name }) => name).join("\n")
      : table(
          ["NAME", "AGENT", "PACKAGE", "CREDENTIALS"],
          agents.map((agent) => [
            agent.name,
            agent.about,
            agent.package,
            agent.secrets.map(({ name }) => name).join(" or "),
          ]),
        ),
  );
};
