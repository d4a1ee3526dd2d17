/** What a template's id stands for: a snapshot, an image by name or reference, or the default image. */
import type { VmCreate } from "#api/vm.ts";
import type { Backend } from "#e2b/backend.ts";

/** What E2B's clients say when their user named no template. */
const BASE = "base";
/** The tag that E2B's own names have. */
const DEFAULT_TAG = ":default";

export async function sourceOf({ client }: Backend, template: string): Promise<Partial<VmCreate>> {
  const bare = template.endsWith(DEFAULT_TAG) ? template.slice(0, -DEFAULT_TAG.length) : template;
  const snapshots = await client.snapshot.list();
  // A snapshot's machine has the image, mode and sizes of the one that it was taken of.
  if (snapshots.some(({ name }) => name === bare)) return { snapshot: bare };
  const images = await client.image.list();
  const isHere = images.some(({ name }) => name === bare);
  // Nothing of its own runs in a sandbox: commands come from its clients.
  const direct: Partial<VmCreate> = { mode: "direct", command: [] };
  if (bare === BASE && !isHere) return direct;
  return { ...direct, image: isHere ? bare : template };
}
