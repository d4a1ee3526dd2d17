/**
 * Compares the first machine of a Debian image with packages from the host to one that downloads them itself, both with
 * nothing cached, and a first machine of a second image.
 */
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { giveKernel } from "#test/pulled-kernel.ts";
import { printRatio, race } from "./measure.ts";

const ROUNDS = 1;

const layout = `oci:${await debianLayout()}:bookworm`;
await using host = install();
await using guest = install();
appendFileSync(
  join(guest.home, "config/banger/config.toml"),
  '[vm]\nhost_packages = "off"\nboot_timeout = "1h"\n',
);
appendFileSync(join(host.home, "config/banger/config.toml"), '[vm]\nboot_timeout = "1h"\n');
for (const banger of [host, guest]) {
  // The next machine's template is made in the background, beside the next round here.
  appendFileSync(join(banger.home, "config/banger/config.toml"), 'templates = "off"\n');
  await giveKernel(banger);
  await banger.ok("image", "pull", layout, "--name", "debian");
}
const [ours = 0, own = 1, again = 0] = await race(
  [
    {
      name: "first machine, packages from the host",
      prepare: async () =>
        rmSync(join(host.home, "cache/banger/blobs"), { recursive: true, force: true }),
      run: () => create(host),
    },
    { name: "first machine, packages by the guest", run: () => create(guest) },
    {
      name: "the same from the host, with the packages in its cache",
      prepare: () => host.ok("image", "rm", "--provisioned", "debian"),
      run: () => create(host),
    },
  ],
  ROUNDS,
);
printRatio("from the host / by the guest", ours / own, "0.40");
printRatio("the same, cached / by the guest", again / own, "0.40");

async function create({ ok }: Installation): Promise<void> {
  await ok("image", "provision", "--force", "debian");
}
