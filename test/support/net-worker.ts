/**
 * A program that holds a Network: `bun net-worker.ts BRIDGE SUBNET`. Takes one JSON call per line
 * of stdin and answers each with one line, in the order in which they end. For tests that put it
 * into a network namespace, so that the host's own network is left alone.
 */
import { createInterface } from "node:readline";
import { toBangerError } from "#base/error.ts";
import { checks } from "#net/checks.ts";
import { type AttachRequest, Network } from "#net/network.ts";

export type NetCall =
  | { id: number; op: "attach"; request: AttachRequest; abortAfter_ms?: number }
  | { id: number; op: "detach"; machineId: string; mode: "nat" | "host" }
  | { id: number; op: "checks" };

export type NetAnswer =
  | { id: number; ok: unknown }
  | { id: number; error: { code: string; message: string; hint?: string | undefined } };

const [bridge = "", subnet = ""] = process.argv.slice(2);
const network = new Network({ bridge, subnet });

async function answer(call: NetCall): Promise<unknown> {
  switch (call.op) {
    case "attach": {
      const { abortAfter_ms, request } = call;
      const signal = abortAfter_ms === undefined ? undefined : AbortSignal.timeout(abortAfter_ms);
      return await network.attach(request, signal);
    }
    case "detach":
      return (await network.detach(call)) ?? null;
    case "checks":
      return await checks({ bridge, subnet });
  }
}

async function reply(call: NetCall): Promise<void> {
  const { id } = call;
  try {
    print({ id, ok: await answer(call) });
  } catch (error) {
    const { code, message, hint } = toBangerError(error);
    print({ id, error: { code, message, hint } });
  }
}

function print(result: NetAnswer): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  void reply(JSON.parse(line) as NetCall);
}
