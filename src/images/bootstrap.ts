/** A Debian root file system from packages, made by mmdebstrap, as one uncompressed layer. */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ImageBootstrap } from "#api/image.ts";
import type { Check } from "#base/check.ts";
import type { Digest } from "#base/digest.ts";
import { BangerError, throwIfAborted } from "#base/error.ts";
import { newId } from "#base/id.ts";
import type { OnProgress } from "#base/progress.ts";
import { run, runOk, which } from "#base/run.ts";
import type { Layer } from "#oci/layer.ts";

const BOOTSTRAP_TIMEOUT_MS = 1_800_000;

export type BootstrapLayer = Layer & { platform: string } & AsyncDisposable;

/** The tar lies in `workDir` until the layer is disposed of. */
export async function bootstrapLayer(
  request: ImageBootstrap,
  workDir: string,
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<BootstrapLayer> {
  if (!which("mmdebstrap")) {
    throw new BangerError("unsupported", "Cannot bootstrap an image: mmdebstrap is not installed", {
      hint: "sudo apt-get install mmdebstrap",
    });
  }
  mkdirSync(workDir, { recursive: true, mode: 0o700 });
  const path = join(workDir, `bootstrap-${newId()}.tar`);
  try {
    await makeTar(request, path, options);
    const digest = await hashFile(path, options.signal);
    return {
      digest,
      diffId: digest,
      size: statSync(path).size,
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      platform: `linux/${(await runOk(["dpkg", "--print-architecture"])).trim()}`,
      compressed: (signal) => chunksOf(path, signal),
      async [Symbol.asyncDispose]() {
        rmSync(path, { force: true });
      },
    };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
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
    { hint: "See that the release and the packages exist, and that apt-get update works here" },
  );
}

async function hashFile(path: string, signal: AbortSignal | undefined): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of chunksOf(path, signal)) hasher.update(chunk);
  return `sha256:${hasher.digest("hex")}` as Digest;
}

async function* chunksOf(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const chunk of Bun.file(path).stream()) {
    throwIfAborted(signal);
    yield chunk;
  }
}
