/** What a reader finds in the files of a project. */
import type { Project } from "./project.ts";

export interface Pin {
  /** Name or alias of a rule. */
  tool: string;
  /** As the file has it; undefined if any will do. */
  version?: string | undefined;
  /** Such as "package.json: engines.node". */
  reason: string;
}

/** A command that gets the project ready, in its directory in the machine. */
export interface Command {
  command: string;
  reason: string;
  /** Files of the project that the command needs, if it can fill the tool's cache without the others. */
  files?: string[];
  /** Fills the tool's cache, in a directory that has only `files`. */
  warm?: string;
}

export interface Findings {
  pins?: Pin[];
  commands?: Command[];
  env?: Record<string, string>;
  ports?: number[];
  image?: { name: string; reason: string };
  notes?: string[];
}

export type Reader = (project: Project) => Findings | undefined;
