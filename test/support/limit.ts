/**
 * The one timeout of tests: ten times what the slowest takes on a busy host. It only ends what hangs; tests do not
 * assert durations.
 */
export const LIMIT_MS = 900_000;
