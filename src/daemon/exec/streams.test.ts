import { expect, test } from "bun:test";
import type { ExecOpen, ExecServerMessage } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { openStream, type StreamServices } from "./streams.ts";
import type { Wire } from "./wire.ts";

test("a run reports what the build and the pull of its image print", async () => {
  const said: ExecServerMessage[] = [];
  const { signal } = new AbortController();
  const wire = { signal, say: (message) => void said.push(message) } as Partial<Wire> as Wire;
  const vms = {
    async create(_: unknown, { onProgress }: WorkOptions): Promise<never> {
      const step = { step: "build 1", message: "[1/2] RUN make" };
      onProgress?.(step);
      onProgress?.({ ...step, lines: ["cc a.c"] });
      onProgress?.({ ...step, lines: ["cc b.c"] });
      onProgress?.({ step: "layer 1", message: "Downloading", done: 1, total: 2, unit: "bytes" });
      throw new BangerError("not_found", "Cannot boot: that is all");
    },
  };
  const open: ExecOpen = {
    kind: "run",
    create: { image: "app" },
    exec: { argv: ["true"] },
  };
  const services = { vms } as Partial<Record<keyof StreamServices, unknown>> as StreamServices;
  expect(
    (await bangerErrorOf(openStream(wire, open, { ...services, token: undefined }))).code,
  ).toBe("not_found");
  const reports = said.map((message) => ("progress" in message ? message.progress : undefined));
  expect(reports.flatMap((report) => report?.lines ?? [])).toEqual(["cc a.c", "cc b.c"]);
  expect(reports.at(-1)).toMatchObject({ step: "layer 1", done: 1, total: 2, unit: "bytes" });
});
