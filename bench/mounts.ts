/**
 * The same work on a machine's own disk, on a volume, and in a directory of the host shared by 9P. Prints the table of
 * docs/volumes.md: seconds, and in brackets the ratio to the own disk. Needs Debian's full kernel, which it pulls.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pullBusybox } from "#test/busybox.ts";
import { install } from "#test/installation.ts";

const ROUNDS = 1;
const KERNEL = "debian-full-6.12";
const PLACES = ["/own", "/volume", "/share"];

/** In an empty directory, in this order: each works on what those before have left. */
const WORK = {
  "create 500 files":
    "for d in 1 2 3 4 5; do mkdir d$d; for f in $(seq 100); do echo $f >d$d/f$f; done; done",
  "stat all, as git status does": "find . -type f -newer / | wc -l",
  "read all": "find . -type f -exec cat {} + | wc -c",
  "write 16 MiB": "dd if=/dev/zero of=big bs=64k count=256 conv=fsync",
  "remove all": "rm -rf ./*",
};

await using banger = install();
await pullBusybox(banger);
await banger.ok("kernel", "pull", KERNEL);
mkdirSync(join(banger.home, "share"));
await banger.ok(
  ...["vm", "create", "--image", "busybox", "--name", "m", "--mode", "direct", "--net", "none"],
  ...["-v", "data:/volume", "-v", `${join(banger.home, "share")}:/share`],
);

/** By the guest's clock, in milliseconds. */
async function time_ms(place: string, work: string): Promise<number> {
  // Nothing of it is in the guest's memory.
  await inside("sync; echo 3 >/proc/sys/vm/drop_caches");
  const clock = "awk '{ print $1 * 1000 }' /proc/uptime";
  const out = await inside(
    `mkdir -p ${place}; cd ${place}; ${clock}; (${work}) >/dev/null 2>&1; ${clock}`,
  );
  const [start = 0, end = 0] = out.trim().split("\n").map(Number);
  return end - start;
}

async function inside(script: string): Promise<string> {
  return await banger.ok("vm", "exec", "m", "--", "sh", "-c", script);
}

console.log("| Work | Own disk | Volume | Shared directory |\n| --- | --- | --- | --- |");
const best = new Map<string, number>();
for (let round = 0; round < ROUNDS; round++) {
  for (const place of PLACES) {
    for (const [name, work] of Object.entries(WORK)) {
      const key = `${name} ${place}`;
      best.set(
        key,
        Math.min(await time_ms(place, work), best.get(key) ?? Number.POSITIVE_INFINITY),
      );
    }
  }
}
for (const name of Object.keys(WORK)) {
  const times = PLACES.map((place) => best.get(`${name} ${place}`) ?? 0);
  const [own = 1] = times;
  const cells = times.map((each) => `${(each / 1000).toFixed(2)} s (${(each / own).toFixed(1)})`);
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
