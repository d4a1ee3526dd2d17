/**
 * Compares writing the layers of a Debian image to one ext4 file to decompressing them to /dev/null and to other
 * tools.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hexOf } from "#base/digest.ts";
import { formatSize } from "#base/size.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { openImage } from "#oci/source.ts";
import { debianLayout } from "#test/debian.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 9;
const OTHER_ROUNDS = 2;
const BUDGET_GUNZIP = 2;
const BUDGET_OTHER = 8;
const BUDGET_MEMORY = "200 MiB";
const SUITE = "bookworm";

const layout = await debianLayout({ suite: SUITE });
const folder = mkdtempSync(join(tmpdir(), "banger-bench-"));
try {
  const cacheDir = join(folder, "cache");
  await using image = await openImage(`oci:${layout}:${SUITE}`, {
    cacheDir,
    platform: "linux/amd64",
  });
  const blobs = image.layers.map(({ digest }) => join(layout, "blobs/sha256", hexOf(digest)));
  const path = join(folder, "rootfs.ext4");
  const build = () => buildRootfs(image.layers, { path, seed: image.manifestDigest });
  const { uncompressed_bytes, size_bytes, files } = await build();
  console.log(
    `${files} files, ${formatSize(uncompressed_bytes)} of tar, image of ${formatSize(size_bytes)}`,
  );
  const [igzip = 0, ours = 0] = await race(
    [
      { name: "igzip -dc to /dev/null", run: () => program("igzip", "-dc", ...blobs) },
      { name: "buildRootfs", run: build },
      { name: "gzip -dc to /dev/null", run: () => program("gzip", "-dc", ...blobs) },
    ],
    ROUNDS,
  );
  const peak_bytes = process.resourceUsage().maxRSS * 1024;
  const [other = 0] = await race(
    [{ name: "skopeo copy + umoci unpack + mke2fs -d", run: otherWay }],
    OTHER_ROUNDS,
  );
  printRatio("buildRootfs / igzip -dc", ours / igzip, `at most ${BUDGET_GUNZIP}`);
  printRatio("skopeo + umoci + mke2fs / buildRootfs", other / ours, `at least ${BUDGET_OTHER}`);
  console.log(
    `${formatSize(peak_bytes).padStart(12)}  peak resident memory; budget ${BUDGET_MEMORY}`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function otherWay(): Promise<void> {
  const [copy, bundle, image] = ["copy", "bundle", "other.ext4"].map((name) => join(folder, name));
  await program("skopeo", "copy", "-q", `oci:${layout}:${SUITE}`, `oci:${copy}:${SUITE}`);
  await program("umoci", "unpack", "--image", `${copy}:${SUITE}`, `${bundle}`);
  await program("mke2fs", "-q", "-F", "-t", "ext4", "-d", `${bundle}/rootfs`, `${image}`, "512M");
  for (const made of [copy, bundle, image]) rmSync(`${made}`, { recursive: true, force: true });
}
