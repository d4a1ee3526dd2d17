/** The context that every handler gets besides its own input. */

import type { ProgressView } from "#cli/progress/options.ts";
import type { Paths } from "#config/paths.ts";
import type { Client } from "#sdk/client.ts";
import type { Interrupt } from "./interrupt.ts";
import type { Output } from "./print/output.ts";
import type { Programs } from "./programs.ts";
import type { CommandSpec, Input } from "./spec/types.ts";

export interface Context {
  paths: Paths;
  output: Output;
  interrupt: Interrupt;
  programs: Programs;
  /** A client of a daemon that runs: it is started when there is none. */
  daemon(): Promise<Client>;
  /** Where the reports of long work go; closed by whoever asked for it. */
  progress(): Promise<ProgressView>;
}

/** Gives the exit status; nothing is 0. */
export type Handler<C extends CommandSpec> = (
  input: Input<C>,
  context: Context,
) => Promise<number> | Promise<void>;
