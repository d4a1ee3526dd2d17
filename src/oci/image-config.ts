/** Parses the image config: OCI image specification 1.1, config.md. Docker writes `null` for missing values. */
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { parseDocument } from "./document.ts";
import { normalize, type Platform } from "./platform.ts";

const MAX_DIFF_IDS = 512;
const MAX_HISTORY_ENTRIES = 10_000;

export interface ImageConfig {
  /** Undefined if the config has none. */
  platform: Platform | undefined;
  entrypoint: string[];
  cmd: string[];
  /** "NAME=value". */
  env: string[];
  /** "" when not set. */
  workdir: string;
  /** "user", "uid", "user:group" or "uid:gid"; "" when not set. */
  user: string;
  /** "80/tcp", "53/udp". */
  exposedPorts: string[];
  labels: Record<string, string>;
  /** "SIGTERM" or a number; "" when not set. */
  stopSignal: string;
  healthcheck: OciHealthcheck | undefined;
  volumes: string[];
  shell: string[];
  onBuild: string[];
  author: string;
  /** RFC 3339, as the builder wrote it; "" when not set. */
  created: string;
  history: HistoryEntry[];
  /** Of the uncompressed layers, lowest first. */
  diffIds: Digest[];
}

/** A Docker extension; OCI has none. */
export interface OciHealthcheck {
  test: string[];
  interval_ms?: number;
  timeout_ms?: number;
  startPeriod_ms?: number;
  startInterval_ms?: number;
  retries?: number;
}

export interface HistoryEntry {
  created: string;
  createdBy: string;
  comment: string;
  /** The step changed no file and has no layer. */
  isEmptyLayer: boolean;
}

// A NUL would cut the string short in the guest, where it becomes an argument of execve.
const text = z.string().refine((value) => !value.includes("\0"), "a text holds a NUL byte");
const optionalText = text.nullish().transform((value) => value ?? "");
/** A single string counts as a list of one, as in docker. */
const texts = z
  .union([z.array(text), text.transform((value) => [value])])
  .nullish()
  .transform((value) => value ?? []);
/** Sets are JSON objects; some tools write arrays. */
const names = z
  .union([z.record(text, z.unknown()).transform((value) => Object.keys(value)), z.array(text)])
  .nullish()
  .transform((value) => value ?? []);
const labels = z
  .record(text, z.unknown())
  .nullish()
  .transform((value) =>
    Object.fromEntries(
      Object.entries(value ?? {}).filter(
        (entry): entry is [string, string] => text.safeParse(entry[1]).success,
      ),
    ),
  );

const duration_ns = z.number().min(0).nullish();
const NS_PER_MS = 1e6;

const healthcheckSchema = z.object({
  Test: texts,
  Interval: duration_ns,
  Timeout: duration_ns,
  StartPeriod: duration_ns,
  StartInterval: duration_ns,
  Retries: z.number().int().min(0).nullish(),
});

const configSchema = z.object({
  os: optionalText,
  architecture: optionalText,
  variant: optionalText,
  created: optionalText.catch(""),
  author: optionalText.catch(""),
  config: z
    .object({
      Entrypoint: texts,
      Cmd: texts,
      Env: texts,
      WorkingDir: optionalText,
      User: optionalText,
      ExposedPorts: names,
      Labels: labels,
      StopSignal: optionalText,
      // A malformed health check is ignored.
      Healthcheck: healthcheckSchema.nullish().catch(undefined),
      Volumes: names,
      Shell: texts,
      OnBuild: texts,
    })
    .nullish(),
  history: z
    .array(
      z.object({
        created: optionalText,
        created_by: optionalText,
        comment: optionalText,
        empty_layer: z.boolean().nullish(),
      }),
    )
    .max(MAX_HISTORY_ENTRIES)
    .nullish()
    .catch(undefined),
  rootfs: z.object({
    type: optionalText,
    diff_ids: z.array(z.string()).max(MAX_DIFF_IDS).nullish(),
  }),
});

/** Throws `integrity` when malformed, or when it does not list exactly `layerCount` layers. */
export function parseImageConfig(
  bytes: Uint8Array,
  options: { what: string; layerCount: number },
): ImageConfig {
  const { what, layerCount } = options;
  const parsed = parseDocument(bytes, configSchema, what);
  const diffIds = (parsed.rootfs.diff_ids ?? []).map((id) => checkDiffId(id, what));
  if (diffIds.length !== layerCount) {
    throw new BangerError(
      "integrity",
      `Cannot use ${what}: it lists ${diffIds.length} layers, the manifest ${layerCount}`,
    );
  }
  const config = parsed.config;
  return {
    platform: platformOf(parsed),
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    env: config?.Env ?? [],
    workdir: config?.WorkingDir ?? "",
    user: config?.User ?? "",
    exposedPorts: config?.ExposedPorts ?? [],
    labels: config?.Labels ?? {},
    stopSignal: config?.StopSignal ?? "",
    healthcheck: healthcheckOf(config?.Healthcheck),
    volumes: config?.Volumes ?? [],
    shell: config?.Shell ?? [],
    onBuild: config?.OnBuild ?? [],
    author: parsed.author,
    created: parsed.created,
    history: (parsed.history ?? []).map((entry) => ({
      created: entry.created,
      createdBy: entry.created_by,
      comment: entry.comment,
      isEmptyLayer: entry.empty_layer ?? false,
    })),
    diffIds,
  };
}

function healthcheckOf(
  parsed: z.output<typeof healthcheckSchema> | null | undefined,
): OciHealthcheck | undefined {
  if (!parsed || parsed.Test.length === 0) return undefined;
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = parsed;
  return {
    test: Test,
    interval_ms: durationOf(Interval),
    timeout_ms: durationOf(Timeout),
    startPeriod_ms: durationOf(StartPeriod),
    startInterval_ms: durationOf(StartInterval),
    retries: Retries || undefined,
  };
}

/** Docker writes 0 for the default. */
function durationOf(ns: number | null | undefined): number | undefined {
  return ns ? ns / NS_PER_MS : undefined;
}

function platformOf(parsed: z.output<typeof configSchema>): Platform | undefined {
  const { os, architecture, variant } = parsed;
  if (!os || !architecture) return undefined;
  return normalize(variant ? { os, architecture, variant } : { os, architecture });
}

function checkDiffId(id: string, what: string): Digest {
  if (isDigest(id)) return id;
  throw new BangerError(
    "integrity",
    `Cannot use ${what}: "${id.slice(0, 100)}" is not a sha256 digest`,
  );
}
