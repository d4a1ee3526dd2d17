/** Installs an init system on an image, in a machine created for that alone. */
import type { Image, ImageProvision } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import type { Services } from "./compose.ts";
import type { Work } from "./stream.ts";

/** `invalid_state` for an image that can have no layer, or needs none. */
export async function provisionImage(
  { images, vms }: Pick<Services, "images" | "vms">,
  request: ImageProvision & { work: Work },
): Promise<Image> {
  const { name: ref, force, work } = request;
  const before = images.show(ref);
  if (before.provisioned && !force) return before;
  if (!before.managed) {
    throw new BangerError(
      "invalid_state",
      `Cannot provision image "${before.name}": its files are not in the store`,
      { hint: `Copy them into the store first: banger image promote ${before.name}` },
    );
  }
  images.unprovision(before.id);
  const machine = await vms.create({ image: before.id, mode: "systemd", ephemeral: true }, work);
  await vms.discard(machine.id);
  const after = images.show(before.id);
  if (after.provisioned) return after;
  throw new BangerError(
    "invalid_state",
    `Cannot provision image "${after.name}": the first boot installed nothing`,
    { hint: "Images that have an init system do not need this" },
  );
}
