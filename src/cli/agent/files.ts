/** An agent's configuration, from the user's home directory to that of the machine's user. */
import { lstatSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Context } from "#cli/context.ts";
import { machinePort } from "#cli/workspace/port.ts";
import type { Agent } from "#tooling/agents.ts";
import { hostItem } from "#workspace/in/items.ts";
import { tarOf } from "#workspace/in/tar-out.ts";

export async function carryFiles(
  context: Context,
  agent: Agent,
  { vm, user }: { vm: { id: string }; user: string | undefined },
): Promise<void> {
  const items = agent.files.flatMap((name) => {
    const path = join(homedir(), name);
    // A link may lead to anything, and is not followed.
    return lstatSync(path, { throwIfNoEntry: false })?.isFile() ? [hostItem(path, name)] : [];
  });
  if (items.length === 0) return;
  const name = user?.replace(/:.*/, "");
  const home = name === undefined || name === "root" || name === "0" ? "/root" : `/home/${name}`;
  await machinePort(context, vm.id, user).extract(home, tarOf(items));
}
