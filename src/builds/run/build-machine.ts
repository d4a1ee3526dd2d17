/** Runs the commands of a build in machines. */

import { dirname } from "node:path";
import { type Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BangerError } from "#base/error.ts";
import { newId } from "#base/id.ts";
import type { Agent } from "#guest/agent.ts";
import { AGENT_PATH } from "#guest/protocol.ts";
import { joinPath, relaySocket } from "#vm/network/socket-relay.ts";
import type { VmService } from "#vm/service.ts";
import {
  type BuildMachine,
  type BuildMachines,
  MOUNTS_FOLDER,
  type RunRequest,
  type RunStatus,
} from "./machines.ts";

/** A root-only directory in the machine's memory, and the writable disk of its overlay. */
const MEMORY_FOLDER = "/run/banger";
const DISK_FOLDER = `${MEMORY_FOLDER}/disk`;
/** The agent sets them for every command; in a build they stay unset unless it sets them. */
const LOGIN_VARIABLES = ["USER", "LOGNAME"];

/** `diskOf`: the writable disk of a machine, by its id. */
export function buildMachines(vms: VmService, diskOf: (id: string) => string): BuildMachines {
  return {
    async start({ imageId, name, ...request }, work) {
      const { kernel, network, cpus, memory_mib, disk_bytes } = request;
      const vm = await vms.create(
        {
          image: imageId,
          name,
          mode: "direct",
          ephemeral: true,
          isBuild: true,
          kernel,
          network,
          cpus,
          memory_mib,
          disk_bytes,
        },
        work,
      );
      const disposal = async (): Promise<void> => await vms.discard(vm.id);
      try {
        const agent = await vms.guests.agent(vm.id, "build in", work.signal);
        return machineOf(agent, { disk: diskOf(vm.id), disposal });
      } catch (error) {
        await disposal();
        throw error;
      }
    },
  };
}

function machineOf(
  agent: Agent,
  { disk, disposal }: { disk: string; disposal: () => Promise<void> },
): BuildMachine {
  const extract = async (
    folder: string,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<void> => {
    const sink = await agent.files.writeTar(folder, { signal });
    await pipeline(Readable.from(tar), sink.writable);
    await sink.finished;
  };
  return {
    run: (request, options) => runIn(agent, request, options),
    async fill(tar, { name, inMemory, signal }) {
      const folder = `${inMemory ? MEMORY_FOLDER : DISK_FOLDER}${MOUNTS_FOLDER}/${name}`;
      await extract(folder, tar, signal);
      return `${folder}/data`;
    },
    async relay({ hostPath, ...owner }, signal) {
      const source = `${MEMORY_FOLDER}/socket-${newId()}`;
      const take = (inside: Duplex): void => joinPath(inside, hostPath);
      const relay = await relaySocket(agent, { ...owner, path: source, take, signal });
      return { source, [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
    },
    async drop(source, signal) {
      await agent.files.remove(dirname(source), { recursive: true, signal });
    },
    extract: (tar, signal) => extract("/", tar, signal),
    whileFrozen: (use, signal) => agent.whileFrozen(() => use(disk), { signal }),
    [Symbol.asyncDispose]: disposal,
  };
}

async function runIn(
  agent: Agent,
  request: RunRequest,
  options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
): Promise<RunStatus> {
  const { env } = request;
  const argv = [AGENT_PATH, "step", ...stepWords(request), "--", ...request.argv];
  const stream = await agent.exec({ argv, env }, { signal: options.signal });
  const take = (chunk: Uint8Array): void => {
    options.onOutput(chunk);
    stream.grant(chunk.length);
  };
  stream.onStdout(take);
  stream.onStderr(take);
  try {
    return await stream.exited;
  } catch (error) {
    if (options.signal?.aborted || !agent.failure) throw error;
    throw new BangerError(
      "guest",
      "Cannot run the command: the build machine stopped unexpectedly",
      {
        hint: "It may have run out of memory; increase it with --memory",
        cause: error,
      },
    );
  }
}

/** See guest/programs/step.h. */
function stepWords({ env, cwd, user, mounts, hasNetwork }: RunRequest): string[] {
  const added = LOGIN_VARIABLES.filter((name) => env[name] === undefined);
  return [
    ...(user ? ["user", user] : []),
    ...(env.HOME === undefined ? ["home"] : []),
    ...added.flatMap((name) => ["unset", name]),
    ...(hasNetwork ? [] : ["no-network"]),
    ...["cwd", cwd],
    ...mounts.flatMap((mount) =>
      mount.kind === "tmpfs"
        ? ["tmpfs", String(mount.size_bytes), mount.target]
        : ["bind", mount.isReadOnly ? "ro" : "rw", mount.source, mount.target],
    ),
  ];
}
