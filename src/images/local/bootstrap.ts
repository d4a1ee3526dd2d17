/** Creates an image from Debian packages with mmdebstrap, as one uncompressed layer. */
import { mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ImageBootstrap } from "#api/image.ts";
import type { Check } from "#base/check.ts";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { hashFile } from "#base/files/copy-file.ts";
import type { OnProgress, WorkOptions } from "#base/progress.ts";
import { run, runOk, which } from "#base/run.ts";
import { type ImageRecord, ROOTFS_NAME } from "#images/records.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { assertFree, type ImageStore } from "#images/store.ts";
import type { Layer } from "#oci/layer.ts";

const BOOTSTRAP_TIMEOUT_MS = 1_800_000;
/** mmdebstrap removes its unpacked files. */
const CLEANUP_MS = 20_000;

/** `already_exists` when the name is taken, `unsupported` without mmdebstrap, `unavailable` when it fails. */
export async function bootstrapImage(
  store: ImageStore,
  request: ImageBootstrap,
  options: WorkOptions = {},
): Promise<ImageRecord> {
  const name = request.name ?? `debian-${request.suite}`;
  const make = (scratch: string): Promise<ImageRecord> => {
    assertFree(store, name);
    mkdirSync(scratch, { mode: 0o700 });
    return store.create(name, async (folder) => {
      const layer = await bootstrapLayer(request, scratch, options);
      const { digest, diffId, size, mediaType, platform } = layer;
      const built = await buildRootfs([layer], {
        path: join(folder, ROOTFS_NAME),
        seed: digest,
        ...options,
      });
      return {
        reference: `mmdebstrap:${request.suite}`,
        digest,
        platform,
        kernel: request.kernel,
        size_bytes: built.size_bytes,
        allocated_bytes: built.allocated_bytes,
        layers: [{ digest, diffId, size_bytes: size, mediaType }],
        config: {
          cmd: ["bash"],
          env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
      };
    });
  };
  return await store.inTurn(
    name,
    () => store.withScratch(store.paths.downloads, "image-bootstrap", make),
    options.signal,
  );
}

/** Creates the tar in `scratch`, which the caller removes. */
async function bootstrapLayer(
  request: ImageBootstrap,
  scratch: string,
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<Layer & { platform: string }> {
  if (!which("mmdebstrap")) {
    throw new BangerError("unsupported", "Cannot bootstrap an image: mmdebstrap is not installed", {
      hint: "sudo apt-get install mmdebstrap",
    });
  }
  const path = join(scratch, "layer.tar");
  await makeTar(request, path, options);
  const digest = await hashFile(path, { signal: options.signal });
  return {
    digest,
    diffId: digest,
    size: statSync(path).size,
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    platform: `linux/${(await runOk(["dpkg", "--print-architecture"])).trim()}`,
    compressed: (signal) => readChunks(path, { signal }),
  };
}

export function checks(): Check[] {
  const path = which("mmdebstrap");
  const base = { id: "mmdebstrap", title: "mmdebstrap (image bootstrap)" };
  if (path) return [{ ...base, status: "ok", detail: path }];
  return [
    { ...base, status: "warn", detail: "not installed", fix: "sudo apt-get install mmdebstrap" },
  ];
}

async function makeTar(
  request: ImageBootstrap,
  path: string,
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined },
): Promise<void> {
  const packages = request.packages ?? [];
  const step = { step: "bootstrap", message: `Installing Debian ${request.suite} packages` };
  options.onProgress?.(step);
  const isRoot = process.getuid?.() === 0;
  const { exitCode, stderr } = await run(
    [
      "mmdebstrap",
      `--mode=${isRoot ? "root" : "unshare"}`,
      `--variant=${request.variant ?? "minbase"}`,
      ...(packages.length > 0 ? [`--include=${packages.join(",")}`] : []),
      "--format=tar",
      request.suite,
      path,
    ],
    {
      timeout_ms: BOOTSTRAP_TIMEOUT_MS,
      cleanup_ms: CLEANUP_MS,
      // Removed with the scratch directory. In a user namespace it could not be reached.
      env: isRoot ? { TMPDIR: dirname(path) } : undefined,
      outputMax_bytes: 64 << 20,
      signal: options.signal,
      onOutput: (chunk) => {
        const line = new TextDecoder()
          .decode(chunk)
          .split("\n")
          .findLast((text) => text.startsWith("I: "));
        if (line) options.onProgress?.({ ...step, message: line.slice(3, 100) });
      },
    },
  );
  if (exitCode === 0) return;
  throw new BangerError(
    "unavailable",
    `Cannot bootstrap Debian "${request.suite}": ${stderr.trim().split("\n").slice(-5).join("; ")}`,
    {
      hint: "Check that the release and the packages exist, and that apt-get update works on the host",
    },
  );
}
