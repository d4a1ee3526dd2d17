/** Debian's kernel, pulled once with the program under test and shared by all installations of a run. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { run, runOk } from "#base/run.ts";
import { BUILT, type Installation, install } from "./installation.ts";
import { madeOnce, RUN, removeOthers } from "./made-once.ts";

export const KERNEL = "debian-6.12";
const PREFIX = "kernels-";

/** What `kernel pull` has made: a folder of kernels, with KERNEL in it. */
async function pulledKernels(): Promise<string> {
  const { ino, mtimeMs } = statSync(BUILT);
  const name = `${PREFIX}${ino}-${mtimeMs}`;
  return await madeOnce(join(RUN, name), async (staging) => {
    removeOthers(PREFIX, name);
    await using banger = install();
    await banger.ok("kernel", "pull", KERNEL);
    await linkTree(kernelsOf(banger), staging);
  });
}

/** The folder of Debian's kernel, as `kernel pull` leaves it. */
export async function pulledKernel(): Promise<string> {
  return join(await pulledKernels(), KERNEL);
}

/** As `banger kernel pull` for an installation that has no kernel yet, in a moment: by hard links. */
export async function giveKernel(banger: Installation): Promise<void> {
  const kernels = kernelsOf(banger);
  if (existsSync(join(kernels, KERNEL))) throw new Error(`${kernels} has ${KERNEL} already`);
  await linkKernels(kernels);
}

/** Adds KERNEL to a folder of kernels. */
export async function linkKernels(folder: string): Promise<void> {
  await linkTree(await pulledKernels(), folder);
}

/** Copies where the two are not on one file system. */
async function linkTree(from: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  const { exitCode } = await run(["cp", "-rpl", `${from}/.`, to]);
  if (exitCode !== 0) await runOk(["cp", "-rpf", `${from}/.`, to]);
}

function kernelsOf({ home }: Installation): string {
  return join(home, "state/banger/kernels");
}
