/**
 * Kernels: a pull compared to `zstd -d` and `sha256sum` of the same archive, with its memory use, and the time until
 * PID 1 by the guest's own clock. The generic kernel is measured if it was compiled before, as by `make test`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatSize, MiB } from "#base/size.ts";
import type { Bundle } from "#kernels/bundle.ts";
import { type PullOptions, pullKernel } from "#kernels/pull.ts";
import { packBundle } from "#kernels/tarball/pack.ts";
import { serveFiles } from "#test/file-server.ts";
import { guestUptime } from "#test/guest-uptime.ts";
import { compiled, isCompiled, kernelCache } from "#test/kernel-builds.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 7;
const BOOTS = 9;
const PULL_BUDGET = 1.3;
const MEMORY_BUDGET_BYTES = 120 * MiB;
const PID1_BUDGET_S = 0.5;

if (process.argv[2] === "--pull-once") {
  await pullKernel("bench-6.12", JSON.parse(process.argv[3] ?? "{}") as PullOptions);
  // What getrusage says begins with what the parent had.
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  console.log(Number(kibibytes) * 1024);
  process.exit();
}

const folder = mkdtempSync(join(tmpdir(), "banger-bench-kernel-"));
try {
  mkdirSync(kernelCache.downloads, { recursive: true });
  const dir = join(folder, "kernels");
  const debian = (await pullKernel("debian-6.12", { dir, cache: kernelCache.downloads })).bundle;
  const generic = isCompiled("generic")
    ? (await compiled("generic-6.12", { dir })).bundle
    : undefined;
  await benchPull(generic ?? debian);
  await benchBoot(debian, generic);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function benchPull(bundle: Bundle): Promise<void> {
  const served = join(folder, "served");
  mkdirSync(served);
  const archive = join(served, "x.tar.zst");
  const packed = await packBundle(bundle, archive);
  await using server = await serveFiles(served);
  const { name, distro, arch, version } = bundle.manifest;
  const source = { kind: "tarball" as const, url: `${server.url}/x.tar.zst`, ...packed };
  const entry = { name: "bench-6.12", distro, arch, description: "", source };
  const options: PullOptions = {
    dir: join(folder, "unused"),
    cache: join(folder, "cache"),
    catalog: { kernels: [entry] },
  };
  const size = `${formatSize(packed.size_bytes)}, ${formatSize(packed.unpacked_bytes)} unpacked`;
  console.log(`archive of ${name} ${version}: ${size}`);
  let round = 0;
  const fresh = (name: string): string => join(folder, `${name}-${round++}`);
  const [pull = 0, reference = 1] = await race(
    [
      {
        name: "kernel pull",
        run: () => pullKernel("bench-6.12", { ...options, dir: fresh("pulled") }),
      },
      {
        name: "zstd -d, then sha256sum",
        run: async () => {
          await program("zstd", "-q", "-d", "-f", archive, "-o", fresh("unpacked"));
          await program("sha256sum", archive);
        },
      },
    ],
    ROUNDS,
  );
  printRatio("pull / zstd -d + sha256sum", pull / reference, String(PULL_BUDGET));
  const child = Bun.spawnSync([
    process.execPath,
    import.meta.path,
    "--pull-once",
    JSON.stringify({ ...options, dir: join(folder, "once") }),
  ]);
  const resident = Number(child.stdout.toString());
  console.log(
    `${formatSize(resident).padStart(12)} resident at most; budget ${formatSize(MEMORY_BUDGET_BYTES)}\n`,
  );
}

async function benchBoot(debian: Bundle, generic: Bundle | undefined): Promise<void> {
  const kernels = [debian, ...(generic ? [generic] : [])];
  const times = kernels.map((): number[] => []);
  for (let round = 0; round < BOOTS; round++) {
    for (const [index, bundle] of kernels.entries()) {
      times[index]?.push(await guestUptime(join(bundle.path, "vmlinux")));
    }
  }
  for (const [index, { manifest, path }] of kernels.entries()) {
    const sorted = (times[index] ?? []).toSorted((a, b) => a - b);
    const [least = 0, median = 0] = [sorted[0], sorted[Math.floor(sorted.length / 2)]];
    const size = formatSize(statSync(join(path, "vmlinux")).size);
    console.log(
      `${median.toFixed(2).padStart(9)} s   PID 1 of ${manifest.name}, at best ${least.toFixed(2)} s; vmlinux ${size}`,
    );
  }
  console.log(`          budget of the generic kernel ${PID1_BUDGET_S} s`);
  if (!generic) console.log("          the generic kernel is not compiled here: make test");
}
