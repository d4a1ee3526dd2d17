import { BangerError } from "#base/error.ts";

/** The BangerError that `promise` ends with; anything else fails the test. */
export async function bangerErrorOf(promise: Promise<unknown>): Promise<BangerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("Expected an error, and there was none");
}

/** The same of a function. */
export function errorOf(work: () => unknown): BangerError {
  try {
    work();
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("Expected an error, and there was none");
}
