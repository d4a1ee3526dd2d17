import { version } from "#base/version.ts";
import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

export const run: Handler<typeof root.commands.version> = async (_, { output }) => {
  await output.document(
    version,
    () => `banger ${version.version} (commit ${version.commit}, built ${version.builtAt})`,
  );
};
