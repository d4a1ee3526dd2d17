/** Requests to a NetDaemon, with the usual fields filled in. */
import type { Attachment } from "#net/network.ts";
import type { NetDaemon } from "./net-lab.ts";
import type { WorkerAttach } from "./net-worker.ts";

/** Long enough for an answer within one computer, short enough to wait for one that must not come. */
export const NO_ANSWER_MS = 700;

export type TapAttachment = Extract<Attachment, { tap: string }>;

export interface AttachOptions extends Omit<Partial<WorkerAttach>, "mode"> {
  mode?: "nat" | "host";
  abortAfter_ms?: number;
}

export async function attach(
  daemon: NetDaemon,
  machineId: string,
  { abortAfter_ms, ...request }: AttachOptions = {},
): Promise<TapAttachment> {
  return await daemon.call<TapAttachment>({
    op: "attach",
    request: { machineId, mode: "nat", ...request },
    abortAfter_ms,
  });
}

export async function detach(daemon: NetDaemon, machineId: string): Promise<void> {
  await daemon.call({ op: "detach", machineId, mode: "nat" });
}

/** The error that `pending` ends with; success fails the test. */
export async function refused(
  pending: Promise<unknown>,
): Promise<{ code: string; message: string; hint: string }> {
  try {
    await pending;
  } catch (error) {
    return error as { code: string; message: string; hint: string };
  }
  throw new Error("Expected a refusal, and there was none");
}
