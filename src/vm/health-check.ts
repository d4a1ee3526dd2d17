/** Runs an image's HEALTHCHECK. */
import type { ImageHealth } from "#api/health.ts";
import type { ImageConfig } from "#api/image.ts";
import type { BootMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Agent } from "#guest/agent.ts";
import { toGuestRequest } from "./exec.ts";

/** Docker's own, where the image says nothing. */
const TIMEOUT_DEFAULT_MS = 30_000;
const SHELL = ["/bin/sh", "-c"];
const OUTPUT_SHOWN_CHARS = 4 * KiB;

/** The words of the command; undefined where the image has none, or has taken its base's away. */
export function healthCommand({ healthcheck, shell }: ImageConfig): string[] | undefined {
  const [kind, ...words] = healthcheck?.test ?? [];
  if (words.length === 0) return undefined;
  if (kind === "CMD") return words;
  return kind === "CMD-SHELL" ? [...(shell?.length ? shell : SHELL), ...words] : undefined;
}

/** Runs it now, as the image's user and in its folder where the machine has no init system. */
export async function askImage(
  agent: Agent,
  config: ImageConfig,
  { mode, signal }: { mode: BootMode; signal?: AbortSignal | undefined },
): Promise<ImageHealth | undefined> {
  const argv = healthCommand(config);
  if (!argv) return undefined;
  const { cwd, makesCwd, user } = toGuestRequest({ argv }, config, { mode });
  const timeout_ms = config.healthcheck?.timeout_ms ?? TIMEOUT_DEFAULT_MS;
  try {
    const { status, stdout, stderr } = await agent.run(argv, {
      ...{ cwd, makesCwd, user, timeout_ms, signal },
    });
    const output = Buffer.concat([stdout, stderr]).toString().trim();
    const isHealthy = "code" in status && status.code === 0;
    return { command: argv, isHealthy, output: output.slice(-OUTPUT_SHOWN_CHARS) };
  } catch (error) {
    if (!(error instanceof BangerError) || signal?.aborted) throw error;
    return { command: argv, isHealthy: false, output: error.message };
  }
}
