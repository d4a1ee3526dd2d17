/** Prepares the mounts of one RUN, and saves the content of cache mounts. */
import { join } from "node:path";
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { BuildCache } from "#builds/cache.ts";
import type { StageConfig } from "#builds/config.ts";
import { copyInto } from "#builds/copy/copy.ts";
import { PatternList } from "#builds/copy/patterns.ts";
import { bytesOf, pathOf, type Source } from "#builds/copy/source.ts";
import { StageView } from "#builds/copy/view.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { type BuiltLayer, LayerFile } from "#builds/layer-file.ts";
import type { RunMount } from "./machines.ts";
import {
  type BindMount,
  type CacheMount,
  parseMount,
  type SecretMount,
  type SshMount,
} from "./mounts.ts";
import type { StageMachine } from "./stage-machine.ts";

const SECRET_MODE = 0o400;
const CACHE_MODE = 0o755;
const SOCKET_MODE = 0o600;

export interface MountDeps extends WorkOptions {
  cache: BuildCache;
  scratch: string;
  config: StageConfig;
  /** The context, or the source of `from`. */
  sourceOf: (instruction: Instruction, from: string | undefined) => Promise<Source>;
  secrets: ReadonlyMap<string, Uint8Array>;
  /** Sockets of ssh agents on the host, by id. */
  sshAgents: ReadonlyMap<string, string>;
}

/** One mount, ready for a machine. */
export interface StepMount {
  /** Part of the step key; contents of caches and secrets are not. */
  key: unknown;
  /** Key of the lock that builds share. */
  lock?: string;
  /** Variables for the command that are not part of the step key. */
  env?: Readonly<Record<string, string>>;
  prepare(machine: StageMachine): Promise<RunMount | undefined>;
  /** Called after the command, also if it failed. */
  cleanUp?(machine: StageMachine): Promise<void>;
}

export async function mountsOf(instruction: Instruction, deps: MountDeps): Promise<StepMount[]> {
  const { config } = deps;
  const texts = instruction.lists.get("mount") ?? [];
  const options = { expand: (text: string) => config.expand(instruction, text) };
  const mounts = texts.map((text) => parseMount(text, { ...options, workdir: config.workdir }));
  const all: StepMount[] = [];
  const locked = new Set<string>();
  for (const mount of mounts) {
    if (mount.kind === "bind") all.push(await bindMount(instruction, mount, deps));
    else if (mount.kind === "cache") {
      // A cache mount that occurs twice is locked once.
      const isLocked = mount.sharing === "locked" && !locked.has(mount.id);
      if (isLocked) locked.add(mount.id);
      all.push(cacheMount(instruction, mount, { ...deps, isLocked }));
    } else if (mount.kind === "secret") all.push(secretMount(mount, deps));
    else if (mount.kind === "tmpfs") {
      const { target, size_bytes } = mount;
      const run = { kind: "tmpfs", target, size_bytes } as const;
      all.push({ key: mount, prepare: async () => run });
    } else all.push(sshMount(mount, { ...deps, index: all.length }));
  }
  return all;
}

async function bindMount(
  instruction: Instruction,
  mount: BindMount,
  deps: MountDeps,
): Promise<StepMount> {
  const { target, isReadOnly } = mount;
  const { layer, content } = await layerOf(instruction, mount, deps);
  // Writes are discarded after the command.
  const name = isReadOnly ? `bind-${content}` : `bind-${crypto.randomUUID()}`;
  return {
    key: { ...mount, content },
    async prepare(machine) {
      const { signal } = deps;
      const source = await machine.fill(name, () => readChunks(layer.path, { signal }), { signal });
      return { kind: "bind", source, target, isReadOnly };
    },
    cleanUp: isReadOnly ? undefined : (machine) => machine.removeMount(name, deps.signal),
  };
}

/** Its content outlives the build. The last of two concurrent writers wins. */
function cacheMount(
  instruction: Instruction,
  mount: CacheMount,
  { isLocked, ...deps }: MountDeps & { isLocked: boolean },
): StepMount {
  const { cache, signal, scratch } = deps;
  const { id, target, isReadOnly } = mount;
  const key = `mount-${hexOf(sha256(id))}`;
  let release: (() => void) | undefined;
  return {
    key: mount,
    lock: key,
    async prepare(machine) {
      if (isLocked) release = await acquireLock(cache, key);
      const source = await cache.locks.run(`${key} content`, async () => {
        const kept = machine.has(key) ? undefined : cache.find(key);
        const { path } = kept ?? (await layerOf(instruction, mount, deps)).layer;
        try {
          return await machine.fill(key, () => readChunks(path, { signal }), { signal });
        } finally {
          if (kept) cache.release([key]);
        }
      });
      return { kind: "bind", source, target, isReadOnly };
    },
    async cleanUp(machine) {
      try {
        if (isReadOnly || !machine.has(key)) return;
        const layer = await machine.exportMount(key, scratch, signal);
        await cache.locks.run(`${key} content`, async () => {
          const { hold } = cache.store(key, layer, `cache mount ${id}`);
          cache.release([hold]);
        });
      } finally {
        release?.();
      }
    },
  };
}

/** Waits for the lock. Returns the function that releases it. */
async function acquireLock(cache: BuildCache, key: string): Promise<() => void> {
  const begun = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  void cache.locks.run(key, async () => {
    begun.resolve();
    await over.promise;
  });
  await begun.promise;
  return over.resolve;
}

function secretMount(mount: SecretMount, deps: MountDeps): StepMount {
  const { id, variable, target, uid, gid, mode = SECRET_MODE } = mount;
  const { scratch, signal, secrets } = deps;
  const content = secrets.get(id);
  if (!content && mount.isRequired) {
    throw new BangerError("not_found", `secret "${id}" was not passed to the build`, {
      hint: `Pass it: banger image build --secret id=${id},src=FILE`,
    });
  }
  if (!content) return { key: mount, prepare: async () => undefined };
  const env = variable === undefined ? {} : { [variable]: Buffer.from(content).toString() };
  if (target === undefined) return { key: mount, env, prepare: async () => undefined };
  const name = `secret-${crypto.randomUUID()}`;
  return {
    key: mount,
    env,
    async prepare(machine) {
      const { path } = await fileLayer(scratch, content, { mode, uid, gid });
      const tar = () => readChunks(path, { signal });
      const source = await machine.fill(name, tar, { inMemory: true, signal });
      return { kind: "bind", source, target, isReadOnly: true };
    },
    cleanUp: (machine) => machine.removeMount(name, signal),
  };
}

/** Forwards the agent's socket into the machine; keys stay on the host. */
function sshMount(mount: SshMount, deps: MountDeps & { index: number }): StepMount {
  const { id, uid, gid, mode = SOCKET_MODE } = mount;
  const hostPath = deps.sshAgents.get(id);
  if (hostPath === undefined) {
    if (!mount.isRequired) return { key: mount, prepare: async () => undefined };
    throw new BangerError("not_found", `ssh agent "${id}" was not passed to the build`, {
      hint: `Pass it: banger image build --ssh ${id}`,
    });
  }
  const target = mount.target ?? `/run/buildkit/ssh_agent.${deps.index}`;
  let relay: AsyncDisposable | undefined;
  return {
    key: mount,
    env: { SSH_AUTH_SOCK: target },
    async prepare(machine) {
      const made = await machine.relay({ hostPath, mode, uid, gid }, deps.signal);
      relay = made;
      return { kind: "bind", source: made.source, target, isReadOnly: false };
    },
    cleanUp: async () => await relay?.[Symbol.asyncDispose](),
  };
}

/** One file as the content of a mount. */
export async function fileLayer(
  scratch: string,
  content: Uint8Array,
  attributes: { mode: number; uid: number; gid: number },
): Promise<BuiltLayer> {
  using file = new LayerFile(join(scratch, `${crypto.randomUUID()}.tar`));
  const size = content.length;
  const entry = { type: "file", name: bytesOf("data"), ...attributes, size } as const;
  await file.entry({ ...entry, mtime_s: 0, mtime_ns: 0 }, [content]);
  return file.finish();
}

/** The content of a mount, as "data". A cache without a source starts empty. */
async function layerOf(
  instruction: Instruction,
  mount: BindMount | CacheMount,
  deps: MountDeps,
): Promise<{ layer: BuiltLayer; content: string }> {
  using file = new LayerFile(join(deps.scratch, `${crypto.randomUUID()}.tar`));
  const { uid, gid, mode = CACHE_MODE } = mount.kind === "cache" ? mount : { uid: 0, gid: 0 };
  const isEmpty = mount.kind === "cache" && mount.from === undefined;
  if (isEmpty) {
    const entry = { type: "directory", name: bytesOf("data"), mode, uid, gid, size: 0 } as const;
    file.header({ ...entry, mtime_s: 0, mtime_ns: 0 });
  } else {
    const source = await deps.sourceOf(instruction, mount.from);
    await copyInto(file, new StageView(undefined), {
      inputs: [{ kind: "path", source, path: pathOf(mount.source) }],
      to: "/data",
      owner: undefined,
      mode: undefined,
      unpacks: false,
      parents: false,
      exclude: new PatternList([]),
      signal: deps.signal,
    });
  }
  return { content: file.contentKey(), layer: file.finish() };
}
