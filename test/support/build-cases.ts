/**
 * Dockerfile builds as a table: for each case the resulting files, configuration, history and RUN commands are
 * compared. No machine boots: RUN commands are recorded, change nothing and succeed.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { ImageBuild, ImageConfig } from "#api/image.ts";
import { sha256 } from "#base/digest.ts";
import type { BuildMachines, RunRequest } from "#builds/run/machines.ts";
import type { BuildService } from "#builds/service.ts";
import { modes } from "#ext4/format.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { bangerErrorOf } from "./expect-error.ts";
import { openTestStore, type TestStore } from "./image-store.ts";
import { dir, file, makeLayer, makeTar, type TarSpec } from "./tar-build.ts";
import { read, type Seen } from "./tar-read.ts";

/** A file of the context: its content, or what else it is. */
export type ContextEntry =
  | string
  | Uint8Array
  | { content: string | Uint8Array; mode?: number; mtime_s?: number }
  | { folder: true; mode?: number; mtime_s?: number }
  | { link: string }
  /** A second name of another entry, by its path in the context. */
  | { hardLink: string }
  | { fifo: true; mode?: number };

export interface BuildCase {
  /** The lines of the Dockerfile; without a FROM, "FROM scratch" comes first. */
  dockerfile: string;
  context?: Record<string, ContextEntry>;
  /** The text of .dockerignore. */
  ignore?: string;
  /** Dockerfiles of images that are there by these names, built with the same context before. */
  images?: Record<string, string>;
  args?: Record<string, string>;
  target?: string;
  /** What else the build is asked for. */
  request?: Partial<ImageBuild>;
  /**
   * All paths of the image, each with "= content", "dir", "-> target" or "fifo", behind as much of
   * "MODE UID:GID" as matters: "600 = secret", "4755 1:2 = x", "1:2 dir".
   */
  files?: Record<string, string>;
  /** The same, for some of the paths; "absent" for what must not be there. */
  has?: Record<string, string>;
  /** Fields of the image's configuration; undefined for one that must not be there. */
  config?: { [Field in keyof ImageConfig]?: ImageConfig[Field] | undefined };
  /** What made each step, by `image history`. */
  history?: readonly string[];
  /** What the commands of RUN got, in order; of each, the fields that are named. */
  runs?: readonly Partial<RecordedRun>[];
  /** A part of the error's message, or its pattern. Nothing else is looked at. */
  error?: string | RegExp;
  /** Of the error's hint. */
  hint?: string | RegExp;
  /** Parts of warnings; without it there must be none. */
  warnings?: readonly string[];
  /** For what the table has no word for. */
  check?: (reader: Ext4Reader) => void;
}

/** A test for each case of the table, named after its key. */
export function testBuilds(cases: Readonly<Record<string, BuildCase>>): void {
  let store: TestStore;
  let machines: RecordingMachines;
  let builds: BuildService;
  beforeAll(async () => {
    store = openTestStore();
    machines = await recordingMachines(store.folder);
    builds = store.buildsWith(machines);
  });
  afterAll(() => store[Symbol.dispose]());
  for (const [name, buildCase] of Object.entries(cases)) {
    test(name, async () => {
      machines.runs.length = 0;
      const context = join(store.folder, "context");
      try {
        await runCase(buildCase, { store, builds, machines, context });
      } finally {
        rmSync(context, { recursive: true, force: true });
        for (const image of store.images.list()) await store.images.remove(image.name);
      }
    });
  }
}

async function runCase(
  buildCase: BuildCase,
  {
    store,
    builds,
    machines,
    context,
  }: { store: TestStore; builds: BuildService; machines: RecordingMachines; context: string },
): Promise<void> {
  mkdirSync(context);
  writeContext(context, buildCase.context ?? {});
  for (const [name, dockerfile] of Object.entries(buildCase.images ?? {})) {
    await builds.build({ name, dockerfile, context });
  }
  machines.runs.length = 0;
  const { ignore, args, target, request: more } = buildCase;
  const dockerfile = /^\s*FROM\s/im.test(buildCase.dockerfile)
    ? buildCase.dockerfile
    : `FROM scratch\n${buildCase.dockerfile}`;
  const warnings: string[] = [];
  const request = {
    name: "made",
    dockerfile,
    context,
    ignore,
    args,
    target,
    ...more,
  };
  const building = builds.build(request, {
    onProgress: ({ message }) => {
      if (message?.startsWith("warning: ")) warnings.push(message);
    },
  });
  if (buildCase.error !== undefined || buildCase.hint !== undefined) {
    const { message, hint } = await bangerErrorOf(building);
    if (buildCase.error !== undefined) expectText(message, buildCase.error);
    if (buildCase.hint !== undefined) expectText(hint ?? "", buildCase.hint);
    return;
  }
  const image = await building;
  using reader = openExt4(image.rootfs);
  if (buildCase.files) expectFiles(reader, buildCase.files, allPaths(reader));
  if (buildCase.has) expectFiles(reader, buildCase.has, Object.keys(buildCase.has));
  for (const [field, value] of Object.entries(buildCase.config ?? {})) {
    expect({ [field]: image.config[field as keyof ImageConfig] }).toEqual({ [field]: value });
  }
  if (buildCase.history) {
    const steps = store.images.history(image.name).map(({ createdBy }) => createdBy);
    expect(steps).toEqual([...buildCase.history]);
  }
  if (buildCase.runs) {
    const named = buildCase.runs.map((run, index) =>
      Object.fromEntries(Object.keys(run).map((key) => [key, Object(machines.runs[index])[key]])),
    );
    expect(named).toEqual([...buildCase.runs]);
    expect(machines.runs).toHaveLength(buildCase.runs.length);
  }
  const wanted = buildCase.warnings ?? [];
  expect(warnings).toHaveLength(wanted.length);
  for (const [at, text] of wanted.entries()) expect(warnings[at]).toContain(text);
  buildCase.check?.(reader);
}

function expectFiles(
  reader: Ext4Reader,
  wanted: Readonly<Record<string, string>>,
  paths: readonly string[],
): void {
  const found = paths.map((path) => [path, described(reader, path, wanted[path])]);
  expect(Object.fromEntries(found)).toEqual(wanted);
}

function expectText(text: string, wanted: string | RegExp): void {
  if (typeof wanted === "string") expect(text).toContain(wanted);
  else expect(text).toMatch(wanted);
}

function writeContext(root: string, entries: Record<string, ContextEntry>): void {
  const late: (() => void)[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof entry === "string" || entry instanceof Uint8Array) {
      writeFileSync(path, entry);
      continue;
    }
    if ("link" in entry) symlinkSync(entry.link, path);
    else if ("hardLink" in entry) linkSync(join(root, entry.hardLink), path);
    else {
      if ("content" in entry) writeFileSync(path, entry.content);
      else if ("folder" in entry) mkdirSync(path, { recursive: true });
      else expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
      if (entry.mode !== undefined) chmodSync(path, entry.mode);
      // The time of a folder is its last entry's until all are there.
      const time = "mtime_s" in entry ? entry.mtime_s : undefined;
      if (time !== undefined) late.push(() => lutimesSync(path, time, time));
    }
  }
  for (const set of late.reverse()) set();
}

function allPaths(reader: Ext4Reader, folder = ""): string[] {
  return reader.list(folder).flatMap(({ name, inode }) => {
    const path = `${folder}/${Buffer.from(name).toString()}`;
    const isFolder = reader.inode(inode).type === modes.DIRECTORY;
    return isFolder ? [path, ...allPaths(reader, path)] : [path];
  });
}

/** What there is at `path`, with as much of mode and owner in front as `wanted` has. */
function described(reader: Ext4Reader, path: string, wanted = ""): string {
  let stat: ReturnType<Ext4Reader["stat"]>;
  try {
    stat = reader.stat(path);
  } catch {
    return "absent";
  }
  const [, mode, owner] = /^([0-7]{3,4} )?(\d+:\d+ )?/.exec(wanted) ?? [];
  const shownMode = mode ? `${stat.mode.toString(8).padStart(3, "0")} ` : "";
  const shownOwner = owner ? `${stat.uid}:${stat.gid} ` : "";
  return `${shownMode}${shownOwner}${kindOf(reader, path, stat)}`;
}

function kindOf(reader: Ext4Reader, path: string, stat: ReturnType<Ext4Reader["stat"]>): string {
  if (stat.type === modes.DIRECTORY) return "dir";
  if (stat.type === modes.REGULAR) return `= ${Buffer.from(reader.readFile(path)).toString()}`;
  if (stat.type === modes.SYMLINK) return `-> ${Buffer.from(reader.targetOf(stat)).toString()}`;
  return stat.type === modes.FIFO ? "fifo" : stat.type.toString(8);
}

export interface RecordedRun extends RunRequest {
  /** By target: "MODE UID:GID = content" of a file, or the same of what is below a directory. */
  mounted: Record<string, string | Record<string, string>>;
}

interface RecordingMachines extends BuildMachines {
  runs: RecordedRun[];
}

/** Machines whose commands are written down; on their disk is what was put there for mounts, and nothing else. */
async function recordingMachines(folder: string): Promise<RecordingMachines> {
  const runs: RecordedRun[] = [];
  return {
    runs,
    async start() {
      const filled = new Map<string, Seen[]>();
      return {
        async run(request) {
          const sources = request.mounts.flatMap((mount) =>
            mount.kind === "bind" ? [[mount.target, shownMount(filled.get(mount.source))]] : [],
          );
          runs.push({ ...request, mounted: Object.fromEntries(sources) });
          return { code: 0 };
        },
        async fill(tar, { name }) {
          filled.set(name, read(Buffer.concat(await Array.fromAsync(tar))));
          return name;
        },
        async relay({ hostPath }) {
          return { source: hostPath, async [Symbol.asyncDispose]() {} };
        },
        async drop(source) {
          filled.delete(source);
        },
        async extract(tar) {
          for await (const _ of tar);
        },
        async whileFrozen(use) {
          const disk = join(folder, `${crypto.randomUUID()}.ext4`);
          const mounts = [...filled].flatMap(([name, entries]) => onDisk(name, entries));
          const tar = makeTar([dir("upper"), dir("mounts"), ...mounts]);
          await buildRootfs([makeLayer(tar)], { path: disk, seed: sha256("disk") });
          const result = await use(disk);
          rmSync(disk);
          return result;
        },
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}

function onDisk(name: string, entries: readonly Seen[]): TarSpec[] {
  const specs = entries.map(({ name: path, type, content, mode, uid, gid }) => ({
    ...(type === "directory"
      ? dir(`mounts/${name}/${path}`)
      : file(`mounts/${name}/${path}`, content)),
    ...{ mode, uid, gid },
  }));
  return [dir(`mounts/${name}`), ...specs];
}

/** A mount of "data": "MODE UID:GID = content" of a file, and of a directory the same by path. */
function shownMount(entries: readonly Seen[] = []): RecordedRun["mounted"][string] {
  const shown = entries.map(({ name, type, content, mode, uid, gid }): [string, string] => [
    name.replace(/^\.?\/?data\/?/, "").replace(/\/$/, ""),
    `${mode.toString(8)} ${uid}:${gid} ${type === "file" ? `= ${content}` : type}`,
  ]);
  const all = Object.fromEntries(shown.filter(([name]) => name !== "."));
  const own = all[""];
  return own?.includes(" = ") ? own : all;
}
