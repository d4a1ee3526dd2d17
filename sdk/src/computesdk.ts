/** A provider for ComputeSDK: `compute.setConfig({ provider: banger() })`. Its sandboxes are machines. */
import { BangerError } from "#base/error.ts";
import { Banger, type Machine } from "./package.ts";
import type { ConnectOptions, CreateOptions } from "./types.ts";

const NAME = "banger";
/** Of machines that it has created: others are not its sandboxes. */
const LABEL = "banger.computesdk";
const METADATA_LABEL = "banger.computesdk/metadata";
const DEFAULT_IMAGE = "debian:bookworm";
const DEFAULT_TIMEOUT_MS = 300_000;

export interface ProviderOptions extends ConnectOptions {
  /** Of sandboxes without a template. Default: "debian:bookworm". */
  image?: string | undefined;
  /** For all sandboxes. */
  defaults?: Pick<CreateOptions, "cpus" | "memory" | "disk" | "net" | "idleSuspend"> | undefined;
}

interface SandboxOptions {
  /** An image. */
  templateId?: string;
  image?: string;
  snapshotId?: string;
  name?: string;
  timeout?: number;
  envs?: Record<string, string>;
  metadata?: Record<string, unknown>;
  signal?: AbortSignal;
}

interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  timeout?: number;
  background?: boolean;
  onStdout?: (data: string) => void;
  onStderr?: (data: string) => void;
}

/** As ComputeSDK's DirectProvider has it, without a dependency on it. */
export function banger({ image = DEFAULT_IMAGE, defaults = {}, ...connect }: ProviderOptions = {}) {
  const daemon = new Banger(connect);
  const find = async (id: string): Promise<Machine | undefined> => {
    const machine = await daemon.machines.get(id).catch(orMissing);
    return machine?.info.labels?.[LABEL] === undefined ? undefined : machine;
  };
  return {
    name: NAME,
    sandbox: {
      async create(options: SandboxOptions = {}) {
        const { snapshotId, name, timeout = DEFAULT_TIMEOUT_MS, envs, metadata, signal } = options;
        const labels = {
          [LABEL]: "sandbox",
          ...(metadata ? { [METADATA_LABEL]: JSON.stringify(metadata) } : {}),
        };
        const shared = { name, timeout, env: envs, labels, signal };
        if (snapshotId !== undefined) {
          return sandboxOf(await daemon.machines.fromSnapshot(snapshotId, shared));
        }
        const source = options.templateId ?? options.image ?? image;
        return sandboxOf(await daemon.machines.create(source, { ...defaults, ...shared }));
      },
      async getById(id: string) {
        const machine = await find(id);
        return machine ? sandboxOf(machine) : null;
      },
      async list() {
        const all = await daemon.machines.list();
        return all.filter(({ info }) => info.labels?.[LABEL] !== undefined).map(sandboxOf);
      },
      async destroy(id: string): Promise<void> {
        await (await find(id))?.remove();
      },
    },
    snapshot: {
      async create(id: string, { name }: { name?: string } = {}) {
        const machine = await daemon.machines.get(id);
        const { name: snapshot, createdAt } = await machine.snapshot(name);
        return { id: snapshot, provider: NAME, createdAt };
      },
      async list() {
        const all = await daemon.snapshots.list();
        return all.map(({ name, createdAt }) => ({ id: name, provider: NAME, createdAt }));
      },
      async delete(id: string): Promise<void> {
        await daemon.snapshots.remove(id);
      },
    },
  };
}

function sandboxOf(machine: Machine) {
  const { files } = machine;
  return {
    sandboxId: machine.id,
    provider: NAME,
    getInstance: () => machine,
    runCommand: (command: string, options: RunOptions = {}) => run(machine, command, options),
    async getInfo() {
      const { id, state, createdAt, expiresAt, labels } = await machine.refresh();
      const status = state === "running" ? ("running" as const) : ("stopped" as const);
      const created = new Date(createdAt);
      const timeout = expiresAt === undefined ? 0 : Date.parse(expiresAt) - created.getTime();
      const metadata = JSON.parse(labels?.[METADATA_LABEL] ?? "{}") as Record<string, unknown>;
      return { id, provider: NAME, status, createdAt: created, timeout, metadata };
    },
    /** A port of this host that leads to the machine's, until the program ends. */
    async getUrl({ port, protocol = "http" }: { port: number; protocol?: string }) {
      const forward = await machine.ports.forward(port);
      return `${protocol}://${forward.host}:${forward.port}`;
    },
    destroy: () => machine.remove(),
    filesystem: {
      readFile: (path: string) => files.readText(path),
      writeFile: (path: string, content: string) => files.write(path, content),
      mkdir: (path: string) => files.mkdir(path, { parents: true }),
      remove: (path: string) => files.remove(path, { recursive: true }),
      exists: async (path: string) => (await files.stat(path).catch(orMissing)) !== undefined,
      async readdir(path: string) {
        return (await files.list(path)).map(({ name, kind, size_bytes: size, modifiedAt }) => ({
          name,
          type: kind === "directory" ? ("directory" as const) : ("file" as const),
          size,
          modified: new Date(modifiedAt),
        }));
      },
    },
  };
}

async function run(machine: Machine, command: string, options: RunOptions) {
  const { cwd, env, timeout, background, onStdout, onStderr } = options;
  const begun = performance.now();
  const took = () => Math.round(performance.now() - begun);
  if (background) {
    await machine.sessions.start(["/bin/sh", "-c", command], { cwd, env });
    return { stdout: "", stderr: "", exitCode: 0, durationMs: took() };
  }
  const kept = { stdout: "", stderr: "" };
  const keep = (name: keyof typeof kept, tell: ((data: string) => void) | undefined) => {
    const decoder = new TextDecoder();
    return (bytes: Uint8Array): void => {
      const text = decoder.decode(bytes, { stream: true });
      kept[name] += text;
      tell?.(text);
    };
  };
  const streams = { onStdout: keep("stdout", onStdout), onStderr: keep("stderr", onStderr) };
  const { exitCode } = await machine.shell(command, { cwd, env, timeout, ...streams });
  return { ...kept, exitCode, durationMs: took() };
}

function orMissing(error: unknown): undefined {
  if (error instanceof BangerError && error.code === "not_found") return undefined;
  throw error;
}
