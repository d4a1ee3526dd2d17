/**
 * Compares emulated CPUs in one thread, as banger runs them, to one thread for each: a run without a template, forks
 * and parallel work, with Debian's kernel and with the generic one, which has no static keys to patch. The generic
 * kernel is measured if it was compiled before, as by `make test`.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { which } from "#base/run.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { compiled, isCompiled } from "#test/kernel-builds.ts";
import { giveKernel } from "#test/pulled-kernel.ts";
import { printRatio, race } from "./measure.ts";

const ROUNDS = 3;
const CPUS = 2;
const FORKS = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done";
/** 16 MB each. */
const HASH = "head -c 16000000 /dev/zero | sha256sum";
const WORK = {
  "a run from nothing": undefined,
  "300 forks": FORKS,
  "two sha256sum at once": `(${HASH}) & (${HASH}) & wait`,
};

const qemu = which("qemu-system-x86_64");
if (!qemu) throw new Error("there is no QEMU");
const isGenericHere = isCompiled("generic");
if (!isGenericHere)
  console.log("the generic kernel is not compiled here: BANGER_TEST_KERNELS=one make test");

await using single = await installWith("single");
await using multi = await installWith("multi");
for (const kernel of ["debian", ...(isGenericHere ? ["generic"] : [])]) {
  await benchKernel(kernel, { single, multi });
}

/** A banger whose QEMU gets another threading mode than the driver asks for. */
async function installWith(mode: string): Promise<Installation> {
  const banger = install();
  const program = join(banger.home, "bin/qemu");
  const script = `#!/bin/bash\nexec ${qemu} "\${@/thread=single/thread=${mode}}"\n`;
  writeFileSync(program, script, { mode: 0o755 });
  await banger.call(["daemon", "start"], {
    env: { BANGER_QEMU_BIN: program, BANGER_VM_TEMPLATES: "off" },
  });
  await busyboxLayout(join(banger.home, "layout"));
  await giveKernel(banger);
  const take = async (name: string, kernel: string) => {
    const source = `oci:${banger.home}/layout`;
    await banger.ok("image", "pull", source, "--name", name, "--kernel-ref", kernel);
  };
  await take("debian", "debian-6.12");
  if (!isGenericHere) return banger;
  const { bundle } = await compiled("generic-6.12", { dir: join(banger.home, "compiled") });
  await banger.ok("kernel", "import", "--from", bundle.path, "--name", "generic-6.12");
  await take("generic", "generic-6.12");
  return banger;
}

async function benchKernel(image: string, modes: Record<string, Installation>): Promise<void> {
  const size = ["--cpus", String(CPUS), "--memory", "256M", "--net", "none", "--mode", "direct"];
  for (const banger of Object.values(modes)) {
    await banger.ok("vm", "create", "--name", "m", "--image", image, ...size);
  }
  for (const [what, script] of Object.entries(WORK)) {
    const contestants = Object.entries(modes).map(([mode, banger]) => ({
      name: `${image}, ${CPUS} CPUs, thread=${mode}: ${what}`,
      run: () =>
        script
          ? banger.ok("vm", "exec", "m", "--", "sh", "-c", script)
          : banger.ok("vm", "run", ...size, image, "--", "true"),
    }));
    const [single = 0, multi = 1] = await race(contestants, ROUNDS);
    printRatio(`single / multi, ${image}: ${what}`, single / multi, "none");
  }
  for (const banger of Object.values(modes)) await banger.ok("vm", "rm", "--force", "m");
}
