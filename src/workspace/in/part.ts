/** What an import consists of. */
import type { HostFiles } from "./host-files.ts";
import type { RepositoryPlan } from "./plan.ts";

/** One repository, or a directory that is none. */
export interface Part {
  /** Relative to the workspace. */
  name: string;
  top: string;
  found: HostFiles;
  plan: RepositoryPlan | undefined;
}
