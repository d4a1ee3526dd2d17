/** One instruction of a Dockerfile. */
import type { Flags } from "./flags.ts";
import type { Heredoc } from "./heredoc.ts";

export interface Instruction extends Flags {
  /** Counts from 1. */
  line: number;
  /** In upper case. */
  keyword: string;
  /** All on one line, without flags; variables as they stand. */
  rest: string;
  heredocs: readonly Heredoc[];
  /** As it is written, flags included, on one line. */
  text: string;
  /** The script of a build without a Dockerfile. */
  script?: string;
  /** Whether it comes from an ONBUILD of the base. */
  isTrigger?: boolean;
}
