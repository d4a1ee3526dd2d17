/** Firecracker's API: JSON over HTTP over a unix socket. One request at a time, each with a limit. */
import { z } from "zod";
import { BangerError, messageOf } from "#base/error.ts";
import { KiB } from "#base/size.ts";

const REQUEST_TIMEOUT_MS = 60_000;
/** More than any answer of the API takes. */
const ANSWER_MAX_BYTES = 256 * KiB;
const FAULT_MAX_CHARS = 1500;

export interface ApiRequest {
  method: "GET" | "PUT" | "PATCH";
  path: string;
  body?: Record<string, unknown>;
}

export interface CallOptions {
  /** Default 10,000. */
  timeout_ms?: number;
  signal?: AbortSignal | undefined;
}

const faultSchema = z.object({ fault_message: z.string() });

/**
 * Makes one request and gives its parsed answer, undefined for an empty one. Every error names the
 * request: `timeout`, `cancelled`, `unavailable` when nobody answers, and for a refusal the code
 * that fits its fault_message.
 */
export async function callApi(
  socketPath: string,
  request: ApiRequest,
  options: CallOptions = {},
): Promise<unknown> {
  const timeout_ms = options.timeout_ms ?? REQUEST_TIMEOUT_MS;
  const limit = AbortSignal.timeout(timeout_ms);
  const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
  const name = `${request.method} ${request.path}`;
  try {
    const { status, text } = await exchange(socketPath, request, signal);
    if (status < 200 || status > 299) throw refusal(name, status, text);
    return text === "" ? undefined : parse(name, text);
  } catch (cause) {
    if (cause instanceof BangerError) throw cause;
    if (options.signal?.aborted) {
      throw new BangerError("cancelled", `cancelled while waiting for Firecracker: ${name}`, {
        cause,
      });
    }
    if (limit.aborted) {
      const text = `Cannot control Firecracker: no response to ${name} within ${timeout_ms} ms`;
      throw new BangerError("timeout", text, { cause });
    }
    const text = `Cannot control Firecracker: no response to ${name}: ${messageOf(cause)}`;
    throw new BangerError("unavailable", text, { cause });
  }
}

async function exchange(unix: string, { method, path, body }: ApiRequest, signal: AbortSignal) {
  const response = await fetch(`http://localhost${path}`, {
    unix,
    method,
    signal,
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    keepalive: false,
    body: body && JSON.stringify(body),
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > ANSWER_MAX_BYTES) {
      const text = `Cannot control Firecracker: response to ${method} ${path} too long`;
      throw new BangerError("integrity", text);
    }
    chunks.push(chunk);
  }
  return { status: response.status, text: Buffer.concat(chunks).toString("utf8").trim() };
}

function parse(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const shown = JSON.stringify(text.slice(0, 80));
    const message = `Cannot control Firecracker: invalid JSON in response to ${name}: ${shown}`;
    throw new BangerError("integrity", message, { cause });
  }
}

function refusal(name: string, status: number, text: string): BangerError {
  const fault = faultOf(text).slice(0, FAULT_MAX_CHARS);
  const known = faults.find(({ pattern }) => pattern.test(fault));
  const message = `Cannot control Firecracker: ${name} failed with status ${status}: ${fault}`;
  return new BangerError(known?.code ?? "internal", message, { hint: known?.hint });
}

function faultOf(text: string): string {
  try {
    return faultSchema.parse(JSON.parse(text)).fault_message;
  } catch {
    return text || "no reason given";
  }
}

/** Refusals that mean something to a user, by what Firecracker says. */
const faults = [
  {
    pattern: /Resource busy|EBUSY|os error 16/,
    code: "conflict",
    hint: "The tap device is in use by another process: stop the machine that uses it",
  },
  {
    pattern: /kvm.*(Permission denied|os error 13)|Error creating KVM object/is,
    code: "permission_denied",
    hint: "banger doctor",
  },
  {
    pattern: /tap.*(Operation not permitted|os error 1\b)/is,
    code: "permission_denied",
    hint: "sudo banger setup",
  },
  {
    pattern: /not supported (before|after) starting/,
    code: "invalid_state",
    hint: undefined,
  },
  {
    pattern: /Cannot allocate memory|os error 12\b/,
    code: "limit_exceeded",
    hint: "Use less --memory, or stop another machine",
  },
  {
    pattern: /No such file or directory|os error 2\b/,
    code: "not_found",
    hint: "A file of the machine is missing: recreate the machine",
  },
] as const;
