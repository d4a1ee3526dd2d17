/** Which processes are a machine's QEMU. */
import { nameArgument, socketPaths } from "./command.ts";

/** Whether these are the arguments of a QEMU that has its sockets in `runtimeDir`. */
export function belongsTo(argv: readonly string[], runtimeDir: string): boolean {
  if (argv[argv.indexOf("-name") + 1] === nameArgument(runtimeDir)) return true;
  // One of an earlier banger.
  const old = `unix:${nameArgument(socketPaths(runtimeDir).qmp)},`;
  return argv.some((argument) => argument.startsWith(old));
}
