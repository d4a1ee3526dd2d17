import { BangerError } from "#base/error.ts";

/** A suspended machine cannot go on from its memory, but its disk can be booted. */
export class UnusableMemory extends BangerError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super("integrity", message, options);
  }
}
