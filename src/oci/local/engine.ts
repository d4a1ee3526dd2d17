/**
 * Exports images from the store of docker or podman as a docker-archive, with `docker image save` or `podman image
 * save`.
 */
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { run, which } from "#base/run.ts";
import type { OpenedImage } from "#oci/image.ts";
import type { Location } from "#oci/location.ts";
import type { Platform } from "#oci/platform.ts";
import { openArchive } from "./archive.ts";
import { openSaved } from "./saved-image.ts";
import { openFromScratch } from "./scratch.ts";

const SAVE_TIMEOUT_MS = 3_600_000;

export interface ExportOptions {
  /** Canonical text of the location. */
  reference: string;
  platform: Platform;
  scratchDir?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

type Engine = Extract<Location, { kind: "docker-daemon" | "containers-storage" }>;

/** podman also reads images that buildah or CRI-O stored in containers-storage. */
const programs: Record<Engine["kind"], { program: string; args: readonly string[] }> = {
  "docker-daemon": { program: "docker", args: ["image", "save", "--output"] },
  "containers-storage": {
    program: "podman",
    args: ["image", "save", "--format", "docker-archive", "--output"],
  },
};

/**
 * `unsupported` if the program is not installed, `not_found` if it has no such image, `unavailable` for other
 * failures. Disposing of the image deletes the archive.
 */
export async function exportFromEngine(
  location: Engine,
  options: ExportOptions,
): Promise<OpenedImage> {
  const { program, args } = programs[location.kind];
  if (!which(program)) {
    throw new BangerError(
      "unsupported",
      `Cannot open ${options.reference}: "${program}" is not installed`,
      { hint: `Install ${program}, or pull the image from its registry` },
    );
  }
  return await openFromScratch(options.scratchDir, async (path) => {
    options.onProgress?.({ step: "export", message: `Reading ${location.name} from ${program}` });
    const { exitCode, stderr } = await run([program, ...args, path, location.name], {
      timeout_ms: SAVE_TIMEOUT_MS,
      signal: options.signal,
    });
    if (exitCode !== 0) throw failure(program, location, stderr);
    const tree = await openArchive(path, { signal: options.signal });
    return await openSaved(tree, { ...options, name: undefined });
  });
}

function failure(program: string, location: Engine, stderr: string): BangerError {
  const words = stderr
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(-300);
  const isMissing = /no such image|not known|image not found|reference does not exist/i.test(words);
  return new BangerError(
    isMissing ? "not_found" : "unavailable",
    `Cannot read image "${location.name}" from ${program}: ${words || "unknown error"}`,
    {
      hint: isMissing
        ? `List images with: ${program} image ls`
        : `Check that ${program} works for your user: ${program} info`,
    },
  );
}
