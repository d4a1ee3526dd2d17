/**
 * The same work on a machine's own disk, on a volume, and in a directory of the host shared by 9P and by FUSE. Prints what
 * docs/volumes.md says: seconds, and in brackets the ratio to the own disk of the same machine. Needs Debian's full
 * kernel, which it pulls, for 9P.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pullBusybox } from "#test/busybox.ts";
import { install } from "#test/installation.ts";

const ROUNDS = 1;
const MACHINES = { "9p": "debian-full-6.12", fuse: "debian-6.12" };
type Name = keyof typeof MACHINES;

/** The own disk of each machine is what its others are compared with. */
const PLACES: { title: string; machine: Name; path: string }[] = [
  { title: "Own disk", machine: "9p", path: "/own" },
  { title: "Volume", machine: "9p", path: "/volume" },
  { title: "Shared, 9P", machine: "9p", path: "/share" },
  { title: "Own disk, for FUSE", machine: "fuse", path: "/own" },
  { title: "Shared, FUSE", machine: "fuse", path: "/share" },
];

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
await banger.ok("kernel", "pull", MACHINES["9p"]);
for (const [name, kernel] of Object.entries(MACHINES)) {
  const share = join(banger.home, name);
  mkdirSync(share);
  await banger.ok(
    ...[
      "vm",
      "create",
      "--image",
      "busybox",
      "--name",
      nameOf(name),
      "--mode",
      "direct",
      "--net",
      "none",
    ],
    ...["--kernel-ref", kernel, "-v", `${name}:/volume`, "-v", `${share}:/share`],
  );
}

/** A machine's name begins with a letter. */
function nameOf(machine: string): string {
  return `with-${machine}`;
}

/** By the guest's clock, in milliseconds. */
async function time_ms(machine: Name, path: string, work: string): Promise<number> {
  // Nothing of it is in the guest's memory.
  await inside(machine, "sync; echo 3 >/proc/sys/vm/drop_caches");
  const clock = "awk '{ print $1 * 1000 }' /proc/uptime";
  const script = `mkdir -p ${path}; cd ${path}; ${clock}; (${work}) >/dev/null 2>&1; ${clock}`;
  const [start = 0, end = 0] = (await inside(machine, script)).trim().split("\n").map(Number);
  return end - start;
}

async function inside(machine: Name, script: string): Promise<string> {
  return await banger.ok("vm", "exec", nameOf(machine), "--", "sh", "-c", script);
}

const best = new Map<string, number>();
for (let round = 0; round < ROUNDS; round++) {
  for (const { machine, path } of PLACES) {
    for (const [name, work] of Object.entries(WORK)) {
      const key = `${name} ${machine} ${path}`;
      const time = await time_ms(machine, path, work);
      best.set(key, Math.min(time, best.get(key) ?? Number.POSITIVE_INFINITY));
    }
  }
}
console.log(`| Work | ${PLACES.map(({ title }) => title).join(" | ")} |`);
console.log(`| --- |${" --- |".repeat(PLACES.length)}`);
for (const name of Object.keys(WORK)) {
  const cells = PLACES.map(({ machine, path }) => {
    const time = best.get(`${name} ${machine} ${path}`) ?? 0;
    const own = best.get(`${name} ${machine} /own`) ?? 1;
    return `${(time / 1000).toFixed(2)} s (${(time / own).toFixed(1)})`;
  });
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
