/** Errors of the daemon, as the page shows them. */

export interface Failure {
  code: string;
  message: string;
  hint?: string | undefined;
}

export function failureOf(error: unknown): Failure {
  if (typeof error !== "object" || error === null) {
    return { code: "internal", message: String(error) };
  }
  const { code, message, hint } = error as Partial<Failure>;
  return {
    code: typeof code === "string" ? code : "internal",
    message: typeof message === "string" ? message : String(error),
    hint: typeof hint === "string" ? hint : undefined,
  };
}

/** Whether the daemon went away, and the work may go on once it is back. */
export function isGone({ code, message }: Failure): boolean {
  return code === "unavailable" || (code === "internal" && message.startsWith("Cannot connect"));
}
