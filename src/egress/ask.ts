/** Asking the user about a destination that no rule of a machine's policy decides. */
export interface Question {
  machineId: string;
  /** Absent where the machine has not looked the address up. */
  name?: string | undefined;
  address?: string | undefined;
  port: number;
}

/** False when the user refuses, or does not answer in time. Never rejects. */
export type Ask = (question: Question, signal: AbortSignal) => Promise<boolean>;
