/** The numbers and names of src/api/exec.ts, apart from its schemas, for clients that load no validator. */

export const EXEC_PATH = "/v1/exec";
export const EXEC_PROTOCOL = "banger.exec.v1";
export const INITIAL_CREDIT_BYTES = 1024 * 1024;
/** The largest message either side may send: a command, whose words may double in JSON. */
export const EXEC_MESSAGE_MAX_BYTES = 8 * 1024 * 1024;
/** More than the 2 MiB that Linux lets a program's arguments and environment have: what is too much is refused there. */
export const COMMAND_MAX_BYTES = 2304 * 1024;
export const STDOUT_TAG = 1;
export const STDERR_TAG = 2;

/** Answers with the DaemonVersion, before any other question and at no cost. */
export const VERSION_PATH = "/version";

/** As `banger version` has it. */
export interface DaemonVersion {
  version: string;
  commit: string;
}
