/** Machines that commands of an image build run in. */

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BangerError } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type {
  BuildMachine,
  BuildMachines,
  RunRequest,
  RunStatus,
} from "#images/builds/machines.ts";
import type { VmService } from "./service.ts";

/** Whoever the build's user is may run it. */
const SCRIPT_MODE = 0o755;

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
          ...(kernel ? { kernel } : {}),
          ...(network ? { network } : {}),
          ...(cpus ? { cpus } : {}),
          ...(memory_mib ? { memory_mib } : {}),
          ...(disk_bytes ? { disk_bytes } : {}),
        },
        work,
      );
      const disposal = async (): Promise<void> => await vms.discard(vm.id);
      try {
        const agent = await vms.agent(vm.id, "build in", work.signal);
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
  return {
    run: (request, options) => runIn(agent, request, options),
    async place(path, content, signal) {
      await agent.files.writeFile(path, content, { mode: SCRIPT_MODE, signal });
    },
    async extract(tar, signal) {
      const sink = await agent.files.writeTar("/", { signal });
      await pipeline(Readable.from(tar), sink.writable);
      await sink.finished;
    },
    whileStill: (use, signal) => agent.whileFrozen(() => use(disk), { signal }),
    [Symbol.asyncDispose]: disposal,
  };
}

async function runIn(
  agent: Agent,
  request: RunRequest,
  options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
): Promise<RunStatus> {
  const { argv, env, cwd, user, input } = request;
  const stream = await agent.exec(
    { argv, env, cwd, makesCwd: true, stdin: input !== undefined, ...(user ? { user } : {}) },
    { signal: options.signal },
  );
  const take = (chunk: Uint8Array): void => {
    options.onOutput(chunk);
    stream.grant(chunk.length);
  };
  stream.onStdout(take);
  stream.onStderr(take);
  if (input) {
    await stream.writeStdin(input);
    await stream.closeStdin();
  }
  try {
    return await stream.exited;
  } catch (error) {
    if (options.signal?.aborted || !agent.failure) throw error;
    throw new BangerError("guest", "Cannot run the command: the machine ended while it ran", {
      hint: "It may have run out of memory: give it more with --memory",
      cause: error,
    });
  }
}
