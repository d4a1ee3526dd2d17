/** Resolves a template's ID: a snapshot, an image by name or reference, or the default image. */
import type { Image } from "#api/image.ts";
import type { VmCreate } from "#api/vm.ts";
import type { Backend } from "#e2b/backend.ts";
import { E2bError } from "#e2b/errors.ts";
import { settingsOf, type TemplateSettings } from "#e2b/templates/dockerfile.ts";

/** Sent by E2B's clients if their user named no template. */
const BASE = "base";
/** Sent by code interpreter clients if their user named no template, and the image recipe for it. */
const INTERPRETER = "code-interpreter-v1";
const INTERPRETER_IMAGE = "code-interpreter";
/** The tag that E2B's own names have. */
const DEFAULT_TAG = ":default";

export interface Source {
  create: Partial<VmCreate>;
  /** Of a template that was built here. */
  settings: TemplateSettings;
}

export async function sourceOf({ client }: Backend, template: string): Promise<Source> {
  const bare = template.endsWith(DEFAULT_TAG) ? template.slice(0, -DEFAULT_TAG.length) : template;
  const snapshots = await client.snapshot.list();
  // A snapshot's machine has the image, mode and sizes of the one that it was taken of.
  if (snapshots.some(({ name }) => name === bare)) {
    return { create: { snapshot: bare }, settings: {} };
  }
  const images = await client.image.list();
  const isInterpreter = bare === INTERPRETER;
  const image =
    imageNamed(images, bare) ?? (isInterpreter ? imageNamed(images, INTERPRETER_IMAGE) : undefined);
  if (!image && (isInterpreter || bare === INTERPRETER_IMAGE)) {
    // Building it takes longer than clients wait.
    throw new E2bError(404, `no such image "${bare}": create it with: banger image pull ${bare}`);
  }
  const settings = settingsOf(image?.config.labels);
  const { cpus, memory_mib } = settings;
  // Nothing of its own runs in a sandbox: commands come from its clients.
  const create: Partial<VmCreate> = { mode: "direct", command: [], cpus, memory_mib };
  if (!image && bare === BASE) return { create, settings };
  return { create: { ...create, image: image?.name ?? template }, settings };
}

/** A tag of a template that was built here is part of its image's name. */
function imageNamed(images: readonly Image[], template: string): Image | undefined {
  const named = (name: string) => images.find((each) => each.name === name);
  return named(template) ?? named(template.toLowerCase().replace(":", "."));
}
