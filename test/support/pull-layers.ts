/** Pulls an image's layers: `bun pull-layers.ts REFERENCE CACHE-DIR`. For tests with two processes. */
import { openImage } from "#oci/source.ts";

const [reference = "", cacheDir = ""] = process.argv.slice(2);
await using image = await openImage(reference, { cacheDir, platform: "linux/amd64" });
let size_bytes = 0;
for (const layer of image.layers) {
  for await (const chunk of layer.compressed()) size_bytes += chunk.length;
}
console.log(size_bytes);
