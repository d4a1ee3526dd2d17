import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { Handler } from "#cli/context.ts";
import { exitStatusOf } from "#cli/interrupt.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { defaultsFile, hostAlias, sshOptions, vmOfHost } from "#cli/ssh/options.ts";
import { assertRunning } from "#cli/ssh/running.ts";

export const run: Handler<typeof vmCommands.commands.ssh> = async ({ args, flags }, context) => {
  const at = args.vm.lastIndexOf("@");
  const user = flags.user ?? (at > 0 ? args.vm.slice(0, at) : undefined);
  const client = await context.daemon();
  const vm = await client.vm.show({ name: vmOfHost(args.vm.slice(at + 1)) });
  assertRunning(vm);
  const program = Bun.which("ssh");
  if (!program) {
    throw new BangerError("not_found", "Cannot run ssh: command not found", {
      hint: "Install it with: sudo apt-get install openssh-client",
    });
  }
  const options = [...sshOptions(context.paths), ["HostKeyAlias", hostAlias(vm.name)]];
  mkdirSync(dirname(context.paths.sshDefaults), { recursive: true, mode: 0o700 });
  writeFileAtomic(context.paths.sshDefaults, defaultsFile());
  const child = Bun.spawn(
    [
      program,
      "-F",
      context.paths.sshDefaults,
      ...options.flatMap(([name, value]) => ["-o", `${name}=${value}`]),
      ...(user === undefined ? [] : ["-l", user]),
      hostAlias(vm.name),
      ...args.rest,
    ],
    { stdin: "inherit", stdout: "inherit", stderr: "inherit" },
  );
  // What is typed reaches ssh by itself, being of the same terminal.
  using _ = context.interrupt.takeOver((signal) => {
    if (signal === "SIGTERM" || signal === "SIGHUP") child.kill(signal);
  });
  await child.exited;
  return child.exitCode ?? exitStatusOf(String(child.signalCode ?? "SIGKILL"));
};
