/** Stops the operation on a state that our own code must never reach; never for bad input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) fail(message);
}

/** The same, where control must not come. */
export function fail(message: string): never {
  throw new Error(`Assertion failed: ${message}`);
}
