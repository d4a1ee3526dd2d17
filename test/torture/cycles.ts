/** `make torture`: cycles.ts [CYCLES] makes, uses and removes machines, and fails when the daemon grows with them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus } from "#api/system.ts";
import { MiB } from "#base/size.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

const CYCLES_DEFAULT = 200;
/** What is made once, and the heap's own way to its size, is over by then. */
const WARM_UP = 20;
const GROWTH_MAX_BYTES = 10 * MiB;

const cycles = Number(process.argv[2] ?? CYCLES_DEFAULT);
await using banger = install();
await busyboxLayout(join(banger.home, "layout"));
await giveKernel(banger);
const source = `oci:${banger.home}/layout`;
await banger.ok("image", "pull", source, "--name", "busybox", "--kernel-ref", KERNEL);

interface Size {
  rss_bytes: number;
  descriptors: number;
}

let base: Size | undefined;
let last: Size | undefined;
for (let cycle = 1; cycle <= cycles; cycle++) {
  const machine = ["--image", "busybox", "--mode", "direct", "--memory", "128M", "--net", "none"];
  await banger.ok("vm", "create", "--name", "cycle", ...machine);
  await banger.ok("vm", "exec", "cycle", "--", "true");
  await banger.ok("vm", "rm", "--force", "cycle");
  if (cycle % WARM_UP !== 0) continue;
  last = await sizeOf(banger);
  base ??= last;
  const { rss_bytes, descriptors } = last;
  console.log(`${cycle} cycles: ${mebibytes(rss_bytes)} MiB, ${descriptors} descriptors`);
}
if (!base || !last) throw new Error(`give at least ${WARM_UP} cycles`);
const grown_bytes = last.rss_bytes - base.rss_bytes;
const opened = last.descriptors - base.descriptors;
console.log(`grown by ${mebibytes(grown_bytes)} MiB and ${opened} descriptors since the first`);
if (grown_bytes > GROWTH_MAX_BYTES || opened > 0) process.exitCode = 1;

async function sizeOf(daemon: Installation): Promise<Size> {
  const { pid, rss_bytes } = await daemon.json<DaemonStatus>("daemon", "status");
  return { rss_bytes, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

function mebibytes(bytes: number): string {
  return (bytes / MiB).toFixed(1);
}
