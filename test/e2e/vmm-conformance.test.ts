/** The driver contract, with machines that really run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { which } from "#base/run.ts";
import { isElf } from "#kernels/elf.ts";
import { buildTinyInitrd, pullTestKernel } from "#test/tiny-guest.ts";
import { testConformance } from "#test/vmm-conformance.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import { kvmState } from "#vmm/host.ts";
import { createQemuDriver } from "#vmm/qemu/driver.ts";

const TOOLS = ["gcc", "apt-get", "dpkg-deb", "xz"];

async function guestFiles(folder: string, options: { vsock: boolean }) {
  const kernel = await pullTestKernel(join(folder, "kernels"), options);
  return { kernelPath: kernel.path, initrdPath: await buildTinyInitrd(folder, kernel) };
}

testConformance(
  "QEMU",
  async (folder) => ({
    ...(await guestFiles(folder, { vsock: false })),
    driver: createQemuDriver(),
  }),
  missing("qemu-system-x86_64"),
);

testConformance(
  "Firecracker",
  async (folder) => {
    const files = await guestFiles(folder, { vsock: true });
    if (!isElf(readFileSync(files.kernelPath).subarray(0, 64))) {
      throw new Error(`${files.kernelPath} is not unpacked, as Firecracker needs it`);
    }
    return { ...files, driver: createFirecrackerDriver() };
  },
  which("firecracker") ? (missing("firecracker") ?? missingKvm()) : "Firecracker",
);

function missing(monitor: string): string | undefined {
  const names = [monitor, ...TOOLS].filter((name) => !which(name));
  return names.length > 0 ? names.join(", ") : undefined;
}

function missingKvm(): string | undefined {
  const { usable, reason } = kvmState();
  if (usable) return undefined;
  console.log(`no usable KVM: ${reason}`);
  return "KVM";
}
