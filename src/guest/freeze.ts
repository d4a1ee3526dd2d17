/** The machine's writable layer held still, so that the host can read it as it is. */
import { BangerError } from "#base/error.ts";
import type { Connection } from "./connection.ts";
import { openProgram, type ProgramOptions, programInput } from "./program.ts";

/**
 * Ends what runs in the machine, which is in direct mode, and calls `use` while its disk is clean and
 * nothing can be written to it.
 */
export async function whileFrozen<T>(
  connection: Connection,
  use: () => Promise<T>,
  options: ProgramOptions = {},
): Promise<T> {
  const program = await openProgram(connection, ["freeze"], {
    ...options,
    feature: "freeze",
    stdin: true,
  });
  const frozen = Promise.withResolvers<void>();
  program.exec.onStdout(() => frozen.resolve());
  program.finished.then(
    () => frozen.reject(new BangerError("guest", "Cannot freeze the machine's disk")),
    frozen.reject,
  );
  await frozen.promise;
  const input = programInput(program);
  try {
    return await use();
  } finally {
    input.end();
    await program.finished;
  }
}
