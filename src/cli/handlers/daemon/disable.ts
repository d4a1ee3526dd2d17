import type { Handler } from "#cli/context.ts";
import { disableUnit } from "#cli/daemon/unit.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.disable;

export const run: Handler<Spec> = async (_, { paths, output }) => {
  const disabled = await disableUnit(paths);
  await output.document({ disabled }, () => {
    if (output.quiet) return "";
    return disabled ? "Disabled: the daemon no longer starts at boot" : "Not enabled";
  });
};
