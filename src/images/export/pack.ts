/**
 * Packs a managed image for push and save: one gzip layer, a config and a manifest. The same rootfs gives the same
 * bytes.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Healthcheck, ImageConfig } from "#api/image.ts";
import { throwIfAborted } from "#base/abort.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import type { ImageRecord } from "#images/records.ts";
import { parsePlatform } from "#oci/platform.ts";
import { exportTar } from "./tar.ts";

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
/** The level of docker and podman, set explicitly so that a new default does not change digests. */
const GZIP_LEVEL = 6;
const EPOCH = "1970-01-01T00:00:00Z";
const REPORT_ENTRIES = 500;

export interface PackedImage {
  manifest: { bytes: Uint8Array; digest: Digest; mediaType: string };
  config: { bytes: Uint8Array; digest: Digest };
  /** `path`: the compressed file. */
  layer: { path: string; digest: Digest; diffId: Digest; size: number };
}

export interface PackOptions {
  rootfs: string;
  /** Path of the layer, which the caller deletes. */
  path: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export async function packImage(image: ImageRecord, options: PackOptions): Promise<PackedImage> {
  const layer = await packLayer(options);
  const config = json(configOf(image, layer.diffId));
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.bytes.length },
    layers: [{ mediaType: LAYER_TYPE, digest: layer.digest, size: layer.size }],
  });
  return { manifest: { ...manifest, mediaType: MANIFEST_TYPE }, config, layer };
}

async function packLayer(options: PackOptions): Promise<PackedImage["layer"]> {
  const { signal, onProgress } = options;
  using reader = openExt4(options.rootfs);
  const total = reader.info.inodes - reader.info.freeInodes;
  const message = "Packing the file system";
  const report = (done: number): void => {
    if (done % REPORT_ENTRIES === 0) {
      onProgress?.({ step: "pack", message, done: Math.min(done, total), total, unit: "items" });
    }
  };
  report(0);
  const tarHash = createHash("sha256");
  const hash = createHash("sha256");
  let size = 0;
  async function* tar(): AsyncGenerator<Uint8Array> {
    for await (const chunk of exportTar(reader, { signal, onEntry: report })) {
      tarHash.update(chunk);
      yield chunk;
    }
  }
  async function* measured(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  try {
    await pipeline(
      tar(),
      createGzip({ level: GZIP_LEVEL }),
      measured,
      createWriteStream(options.path, { flags: "wx", mode: 0o600 }),
      ...(signal ? [{ signal }] : []),
    );
  } catch (error) {
    throwIfAborted(signal);
    throw toBangerError(error);
  }
  return {
    path: options.path,
    digest: `sha256:${hash.digest("hex")}` as Digest,
    diffId: `sha256:${tarHash.digest("hex")}` as Digest,
    size,
  };
}

function configOf(image: ImageRecord, diffId: Digest): object {
  const { os, architecture, variant } = parsePlatform(image.platform);
  const created = image.builtAt || EPOCH;
  return {
    created,
    architecture,
    os,
    variant,
    author: image.config.author,
    config: dockerConfig(image.config),
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, created_by: "banger", comment: `from ${image.reference}` }],
  };
}

/** In the format of docker. */
function dockerConfig(config: ImageConfig): object {
  const { entrypoint, cmd, env, workdir, user, labels, stopSignal, shell, onBuild } = config;
  const words = {
    Entrypoint: entrypoint,
    Cmd: cmd,
    Env: env,
    WorkingDir: workdir,
    User: user,
    ExposedPorts: keysOf(config.exposedPorts),
    Labels: labels,
    StopSignal: stopSignal,
    Healthcheck: dockerHealthcheck(config.healthcheck),
    Volumes: keysOf(config.volumes),
    Shell: shell,
    OnBuild: onBuild,
  };
  return Object.fromEntries(Object.entries(words).filter(([, value]) => value !== undefined));
}

function keysOf(names: readonly string[] | undefined): object | undefined {
  return names && Object.fromEntries(names.map((name) => [name, {}]));
}

function dockerHealthcheck(check: Healthcheck | undefined): object | undefined {
  if (!check) return undefined;
  const ns = (ms: number | undefined): number | undefined => ms && Math.round(ms * 1e6);
  return {
    Test: check.test,
    Interval: ns(check.interval_ms),
    Timeout: ns(check.timeout_ms),
    StartPeriod: ns(check.startPeriod_ms),
    StartInterval: ns(check.startInterval_ms),
    Retries: check.retries,
  };
}

function json(value: object): { bytes: Uint8Array; digest: Digest } {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { bytes, digest: sha256(bytes) };
}

/** Unmanaged images consist of the user's files, which may change while they are read. */
export function assertManaged(image: ImageRecord, action: string): void {
  if (image.managed) return;
  throw new BangerError(
    "invalid_state",
    `Cannot ${action} image "${image.name}": its files are not in the store`,
    { hint: `Copy them into the store first: banger image promote ${image.name}` },
  );
}
