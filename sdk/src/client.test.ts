import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Progress } from "#base/progress.ts";
import { type LocalDaemon, startLocalDaemon } from "#test/local-daemon.ts";
import { until } from "#test/until.ts";
import { connect } from "./client.ts";
import { finish } from "./stream.ts";

let daemon: LocalDaemon;
beforeAll(async () => {
  daemon = await startLocalDaemon();
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

async function failureOf(work: PromiseLike<unknown>): Promise<BangerError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

test("connect() calls procedures with the contract's types", async () => {
  const client = connect(daemon);
  const status = await client.system.status();
  expect(status.machinesRunning).toBe(1);
  const vm = await client.vm.show({ name: "testbox" });
  expect(vm.state).toBe("running");
});

test("connect() gives the daemon's errors as BangerErrors with their hints", async () => {
  const error = await failureOf(connect(daemon).vm.show({ name: "nope" }));
  expect(error.code).toBe("not_found");
  expect(error.message).toBe('Cannot find "nope"');
  expect(error.hint).toBe("List machines with: banger vm list");
});

test("connect() takes an input that breaks the contract for invalid_argument", async () => {
  const error = await failureOf(connect(daemon).vm.show({ name: "" }));
  expect(error.code).toBe("invalid_argument");
});

test("connect() says unavailable where nobody listens, with and without a socket file", async () => {
  const missing = join(daemon.folder, "missing.sock");
  const stale = join(daemon.folder, "stale.sock");
  // A process that is killed leaves its socket file behind.
  const owner = Bun.spawn([
    process.execPath,
    "-e",
    `Bun.serve({ unix: ${JSON.stringify(stale)}, fetch: () => new Response() })`,
  ]);
  await until(() => existsSync(stale));
  owner.kill("SIGKILL");
  await owner.exited;
  for (const socket of [missing, stale]) {
    const error = await failureOf(connect({ socket }).system.status());
    expect(error.code).toBe("unavailable");
    expect(error.hint).toBe("Start it with: banger daemon start");
  }
});

test("finish() hands the progress on and gives the noun", async () => {
  const seen: Progress[] = [];
  const kernel = await finish(connect(daemon).kernel.pull({ name: "debian-6.12" }), (each) => {
    seen.push(each);
  });
  expect(kernel.name).toBe("debian-6.12");
  expect(seen.map(({ done }) => done)).toEqual([0, 10, 20, 30, 40, 50]);
  expect(daemon.streams).toBe(0);
});

test("aborting a call ends its work in the daemon", async () => {
  const abort = new AbortController();
  const work = finish(
    connect(daemon).kernel.pull({ name: "endless" }, { signal: abort.signal }),
    ({ done }) => {
      if (done === 30) abort.abort();
    },
  );
  const error = await failureOf(work);
  expect(error.code).toBe("cancelled");
  await until(() => daemon.streams === 0);
});

test("aborting with a BangerError fails with that error", async () => {
  const abort = new AbortController();
  const reason = new BangerError("timeout", "Took too long");
  const work = finish(
    connect(daemon).kernel.pull({ name: "endless" }, { signal: abort.signal }),
    () => abort.abort(reason),
  );
  expect(await failureOf(work)).toBe(reason);
});

test("leaving a stream early ends its work in the daemon", async () => {
  const stream = await connect(daemon).kernel.pull({ name: "endless" });
  for await (const _ of stream) break;
  await until(() => daemon.streams === 0);
});
