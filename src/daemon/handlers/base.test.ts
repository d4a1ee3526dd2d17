import { afterEach, beforeEach, expect, test } from "bun:test";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { call } from "@orpc/server";
import { USER } from "#api/serve/caller.ts";
import { BangerError } from "#base/error.ts";
import type { Services } from "#daemon/compose.ts";
import { UNDECLARED } from "#daemon/log.ts";
import { CallCounts } from "#daemon/metrics.ts";
import { handlerBase } from "./base.ts";

const records: LogRecord[] = [];
beforeEach(async () => {
  records.length = 0;
  await configure({
    sinks: { kept: (record) => records.push(record) },
    loggers: [
      { category: "banger", lowestLevel: "debug", sinks: ["kept"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: [] },
    ],
  });
});
afterEach(() => reset());

const undeclared = () =>
  records.filter(({ rawMessage }) => String(rawMessage).startsWith(UNDECLARED));
const { os, stream } = handlerBase({ calls: new CallCounts() } as Services);

test("an error that the contract does not declare is reported, and answered all the same", async () => {
  for (const code of ["guest", "not_found"] as const) {
    const show = os.vm.show.handler(() => {
      throw new BangerError(code, "no such luck");
    });
    await expect(
      call(show, { name: "testbox" }, { path: ["vm", "show"], context: { caller: USER } }),
    ).rejects.toMatchObject({
      code,
    });
  }
  expect(undeclared().map(({ properties }) => properties)).toMatchObject([
    { code: "guest", procedure: "vm.show" },
  ]);
});

test("so is one that ends a stream, and a client that has left is no error", async () => {
  for (const code of ["already_exists", "cancelled"] as const) {
    const start = os.vm.start.handler(({ signal }) =>
      stream(signal, async ({ onProgress }) => {
        onProgress({ step: "boot", message: "Booting" });
        await Bun.sleep(1);
        throw new BangerError(code, "no such luck");
      }),
    );
    const read = async () => {
      for await (const _ of await call(
        start,
        { name: "testbox" },
        { path: ["vm", "start"], context: { caller: USER } },
      )) {
        // Until it fails.
      }
    };
    await expect(read()).rejects.toMatchObject({ code });
  }
  expect(undeclared().map(({ properties }) => properties)).toMatchObject([
    { code: "already_exists", procedure: "vm.start" },
  ]);
});
