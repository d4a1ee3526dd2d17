/** A program to be killed: `bun pull-forever.ts FOLDER REFERENCE` pulls, tags and removes in a loop. */
import { openStoreAt } from "./image-store.ts";

const [folder = "", reference = ""] = process.argv.slice(2);
const { images } = openStoreAt(folder);
for (let round = 0; ; round++) {
  await images.pull({ reference, name: "app", platform: "linux/amd64", force: true });
  if (round === 0) console.log("going");
  await images.tag("app", "second");
  images.remove("second");
  await images.gc({ all: true });
}
