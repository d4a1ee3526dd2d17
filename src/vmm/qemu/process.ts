/** Which processes are a machine's QEMU. */
import { socketPaths } from "./command.ts";

/** Whether these are the arguments of a QEMU that keeps its sockets in `runtimeDir`. */
export function belongsTo(argv: readonly string[], runtimeDir: string): boolean {
  const { qmp } = socketPaths(runtimeDir);
  const wanted = `unix:${qmp.replaceAll(",", ",,")},`;
  return argv.some((argument) => argument.startsWith(wanted));
}
