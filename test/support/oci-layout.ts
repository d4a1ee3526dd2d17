/** Builds OCI image layouts from tar files. */
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export interface LayoutOptions {
  /** The image's configuration: Env, Cmd, Entrypoint, User, … */
  config?: Record<string, unknown>;
  tag?: string;
  /** Default: this computer's, in Go's words. */
  architecture?: string;
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

/** Writes a layout with one image, a gzip layer for each of `tars`, into the new folder `layout`. */
export async function makeLayout(
  layout: string,
  tars: string[],
  options: LayoutOptions = {},
): Promise<Descriptor> {
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const layers: Descriptor[] = [];
  const diffIds: string[] = [];
  for (const tar of tars) {
    diffIds.push(await sha256(tar));
    layers.push(await addGzip(layout, tar));
  }
  const config = addJson(layout, CONFIG, {
    architecture: options.architecture ?? hostArchitecture(),
    os: "linux",
    config: options.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = addJson(layout, MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config,
    layers,
  });
  const annotations = { "org.opencontainers.image.ref.name": options.tag ?? "latest" };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  return manifest;
}

export function readIndex(layout: string): { manifests: Descriptor[] } {
  return JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
}

export function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

async function addGzip(layout: string, tar: string): Promise<Descriptor> {
  const scratch = join(layout, "blobs/layer.gz");
  const igzip = Bun.spawn(["igzip", "-1", "--no-name", "-c", tar], {
    stdout: Bun.file(scratch),
    stderr: "inherit",
  });
  if ((await igzip.exited) !== 0) throw new Error(`igzip failed on ${tar}`);
  const digest = await sha256(scratch);
  const size = statSync(scratch).size;
  renameSync(scratch, join(layout, "blobs", digest.replace(":", "/")));
  return { mediaType: LAYER, digest, size };
}

function addJson(layout: string, mediaType: string, value: unknown): Descriptor {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  writeFileSync(join(layout, "blobs", digest.replace(":", "/")), bytes);
  return { mediaType, digest, size: bytes.length };
}

async function sha256(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return `sha256:${hasher.digest("hex")}`;
}
