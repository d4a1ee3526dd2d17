/** What a tool is, and what its calls get. */
import type { CallToolResult, ServerContext, ToolAnnotations } from "@modelcontextprotocol/server";
import type { z } from "zod";
import type { TokenScope } from "#api/serve/caller.ts";
import type { BangerClient } from "#api/serve/mount.ts";
import type { Vm } from "#api/vm.ts";
import { parseDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { formatSize, parseSize } from "#base/size.ts";
import type { Backend, Profile, ServerSettings } from "./backend.ts";
import { findMachine } from "./machines.ts";

/** A client sees each report: some of them call a model. */
const PROGRESS_EVERY_MS = 250;

export interface Tool<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> {
  name: string;
  title: string;
  description: string;
  input: I;
  output: O;
  annotations: ToolAnnotations;
  profile: Profile;
  /** Of which a caller needs one. */
  scopes: readonly TokenScope[];
  run(input: z.output<I>, call: ToolCall): Promise<z.input<O> & { [isFailure]?: true }>;
}

/** Marks an output that is a failure as well. */
export const isFailure: unique symbol = Symbol("failure");

/** The same, of whatever schemas. */
export type AnyTool = Omit<Tool, "run"> & {
  run(input: never, call: ToolCall): Promise<object & { [isFailure]?: true }>;
};

export function tool<I extends z.ZodObject, O extends z.ZodObject>(spec: Tool<I, O>): AnyTool {
  return spec;
}

export const EVERYONE: readonly TokenScope[] = ["full", "own", "read"];
export const CHANGERS: readonly TokenScope[] = ["full", "own"];

export const READS: ToolAnnotations = { readOnlyHint: true, openWorldHint: false };
/** Adds something, and takes nothing away. */
export const ADDS: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: false,
};
export const REPLACES: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: true,
  openWorldHint: false,
};

export class ToolCall {
  readonly backend: Backend;
  readonly settings: ServerSettings;
  readonly signal: AbortSignal;
  readonly client: BangerClient;
  readonly #context: ServerContext;
  #reports = 0;
  #reportedAt_ms = Number.NEGATIVE_INFINITY;

  constructor(
    client: BangerClient,
    {
      backend,
      settings,
      context,
    }: {
      backend: Backend;
      settings: ServerSettings;
      context: ServerContext;
    },
  ) {
    this.client = client;
    this.backend = backend;
    this.settings = settings;
    this.#context = context;
    const request = context.http?.req?.signal;
    const { signal } = context.mcpReq;
    this.signal = request ? AbortSignal.any([signal, request]) : signal;
  }

  async machine(machine: string): Promise<Vm> {
    return await findMachine(this.backend, this.client, { machine, signal: this.signal });
  }

  /** A report, if the client wants any. */
  readonly report = (message: string): void => {
    const progressToken = this.#context.mcpReq._meta?.progressToken;
    const now = performance.now();
    if (progressToken === undefined || now - this.#reportedAt_ms < PROGRESS_EVERY_MS) return;
    this.#reportedAt_ms = now;
    this.#reports++;
    const params = { progressToken, progress: this.#reports, message };
    this.#context.mcpReq.notify({ method: "notifications/progress", params }).catch(() => {
      // The client has left, which its signal says as well.
    });
  };

  readonly onProgress: OnProgress = ({ message, done, total, unit }) => {
    const show = (amount: number) => (unit === "bytes" ? formatSize(amount) : String(amount));
    const of = total === undefined ? "" : ` of ${show(total)}`;
    this.report(done === undefined ? message : `${message}: ${show(done)}${of}`);
  };
}

/** Structured, and as text for clients that know no structure. */
export function resultOf(output: object & { [isFailure]?: true }): CallToolResult {
  const { [isFailure]: failed, ...structuredContent } = output;
  return {
    content: [{ type: "text", text: JSON.stringify(structuredContent) }],
    structuredContent,
    ...(failed ? { isError: true } : {}),
  };
}

export function durationOf(field: string, text: string, { max_ms }: { max_ms: number }): number {
  const ms = withField(field, () => parseDuration(text));
  if (ms > 0 && ms <= max_ms) return ms;
  throw new BangerError(
    "invalid_argument",
    `invalid value for ${field}: "${text}" is not between 1ms and ${max_ms / 1000}s`,
  );
}

export function sizeOf(field: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : withField(field, () => parseSize(text));
}

function withField<T>(field: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BangerError)) throw error;
    throw new BangerError(error.code, `invalid value for ${field}: ${error.message}`, {
      hint: error.hint,
    });
  }
}
