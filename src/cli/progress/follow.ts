import type { Context } from "#cli/context.ts";
import { finish, type Work } from "#sdk/stream.ts";

/** Shows what the work reports, and gives the noun that it ends in. */
export async function follow<T>(context: Context, start: () => Work<T>): Promise<T> {
  using progress = await context.progress();
  const noun = await finish(start(), progress.report);
  progress.finish();
  return noun;
}
