/** One instruction of a Dockerfile. */
import type { Flags } from "./flags.ts";
import type { Heredoc } from "./heredoc.ts";

export interface Instruction extends Flags {
  /** Counts from 1. */
  line: number;
  /** In upper case. */
  keyword: string;
  /** The arguments on one line, without flags, unexpanded. */
  rest: string;
  heredocs: readonly Heredoc[];
  /** The instruction as written on one line, flags included. */
  text: string;
  /** The script of a build without a Dockerfile. */
  script?: string;
  /** Whether it comes from an ONBUILD of the base. */
  isTrigger?: boolean;
}
