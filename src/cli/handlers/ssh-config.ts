import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";
import { installSshConfig, uninstallSshConfig } from "#cli/ssh/install.ts";
import { configBlock } from "#cli/ssh/options.ts";

type Spec = (typeof root.commands)["ssh-config"];

export const run: Handler<Spec> = async ({ flags }, { paths, output }) => {
  const { install, uninstall } = flags;
  if (install && uninstall) {
    throw new BangerError("invalid_argument", "conflicting options: --install and --uninstall");
  }
  if (!install && !uninstall) {
    const block = configBlock(paths);
    return await output.document({ config: block }, () => block);
  }
  // Where ssh itself looks: it takes the home folder from passwd.
  const file = resolve(flags.file ?? join(userInfo().homedir, ".ssh/config"));
  const change = install ? installSshConfig : uninstallSshConfig;
  const changed = change(paths, file);
  await output.document({ file, changed }, () => (changed ? file : ""));
  if (!changed) output.note(`Nothing to change in ${file}`);
};
