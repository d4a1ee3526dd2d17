/** The conformance suite of VMM drivers in a machine that has neither the sources nor a compiler. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "./installation.ts";
import { smallKernel } from "./small-kernel.ts";
import { buildTinyInitrd, pullTestKernel } from "./tiny-guest.ts";
import { ROOT } from "./tree.ts";
import type { VirtualizationHost } from "./virtualization-host.ts";

const FOLDER = "/srv/conformance";

/** Copies it and Bun into `host`, with a kernel and initrds for its guests. Gives the command that runs it. */
export async function copyConformance(
  { home }: Installation,
  host: VirtualizationHost,
): Promise<(lane: string) => string> {
  const folder = join(home, "conformance");
  mkdirSync(folder);
  await bundle(folder);
  const { folder: kernel, isWhole } = await smallKernel();
  copyFileSync(join(kernel, "vmlinux"), join(folder, "vmlinux"));
  for (const kind of ["serial", "vsock"]) {
    const scratch = join(home, `initrd-${kind}`);
    mkdirSync(scratch);
    const vsock = kind === "vsock";
    const modules = isWhole ? [] : (await pullTestKernel(join(scratch, "k"), { vsock })).modules;
    copyFileSync(await buildTinyInitrd(scratch, { modules }), join(folder, `initrd-${kind}`));
  }
  await host.copy(folder, FOLDER);
  await host.copy(process.execPath, "/usr/local/bin/bun");
  const run = "bun test --timeout 3600000 ./conformance.test.js 2>&1";
  return (lane) => `cd ${FOLDER} && BANGER_TEST_LANE='${lane}' ${run}`;
}

async function bundle(outdir: string): Promise<void> {
  const { success, logs } = await Bun.build({
    entrypoints: [join(ROOT, "test/kvm/inside/conformance.ts")],
    outdir,
    naming: { entry: "conformance.test.js" },
    target: "bun",
    external: ["bun:test"],
  });
  if (!success) throw new AggregateError(logs, "Cannot bundle the conformance suite");
}
