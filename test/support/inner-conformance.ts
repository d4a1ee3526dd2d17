/** The conformance suite of VMM drivers in a machine that has neither the sources nor a compiler. */
import { copyFileSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Installation } from "./installation.ts";
import { smallKernel } from "./small-kernel.ts";
import { buildTinyInitrd, pullTestKernel } from "./tiny-guest.ts";
import { ROOT } from "./tree.ts";
import type { VirtualizationHost } from "./virtualization-host.ts";
import { CUT_SHORT } from "./vmm-conformance.ts";

const FOLDER = "/srv/conformance";

/**
 * Copies it and Bun into `host`, with kernels and initrds for its guests. Gives the commands that run it: where a kernel
 * was compiled, all of it with that one, and with Debian's what that one is too small for.
 */
export async function copyConformance(
  { home }: Installation,
  host: VirtualizationHost,
): Promise<(lane: string) => string[]> {
  const folder = join(home, "conformance");
  mkdirSync(folder);
  await bundle(folder);
  const { folder: small, isWhole } = await smallKernel();
  if (isWhole) await fill(join(folder, "small"), { kernel: join(small, "vmlinux"), home });
  await fill(join(folder, "debian"), { home });
  await host.copy(folder, FOLDER);
  await host.copy(process.execPath, "/usr/local/bin/bun");
  const command = (lane: string, kernel: "small" | "debian", ...options: string[]) => {
    const env = `BANGER_TEST_LANE='${lane}' BANGER_TEST_GUEST=${kernel}`;
    const run = "bun test --timeout 3600000 ./conformance.test.js";
    return `cd ${FOLDER} && ${env} ${run} ${options.join(" ")} 2>&1`;
  };
  return (lane) =>
    isWhole
      ? [command(lane, "small"), command(lane, "debian", "-t", `'${CUT_SHORT}'`)]
      : [command(lane, "debian")];
}

/** What a guest boots from. `kernel`: one that needs no modules; default: Debian's. */
async function fill(
  folder: string,
  { kernel, home }: { kernel?: string; home: string },
): Promise<void> {
  mkdirSync(folder);
  for (const name of ["initrd-serial", "initrd-vsock"]) {
    const scratch = join(home, `${basename(folder)}-${name}`);
    mkdirSync(scratch);
    const guest = kernel
      ? { path: kernel, modules: [] }
      : await pullTestKernel(join(scratch, "kernels"), { vsock: name === "initrd-vsock" });
    copyFileSync(guest.path, join(folder, "vmlinux"));
    copyFileSync(await buildTinyInitrd(scratch, guest), join(folder, name));
  }
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
