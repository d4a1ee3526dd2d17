/** Procedures for the web UI, and for what it shows of the host. */
import { readFileSync } from "node:fs";
import { runDoctor } from "#host/doctor.ts";
import { describeEffective } from "#host/effective-config.ts";
import type { Base } from "./base.ts";

const LOG_LINES_MAX = 1000;

export function uiHandlers({ os, services: { ui } }: Base) {
  return {
    open: os.ui.open.handler(({ input }) => ui.open(input.port)),
    close: os.ui.close.handler(async () => {
      await ui.close();
      return {};
    }),
  };
}

export function hostHandlers({ os, eventsLater, services }: Base) {
  return {
    usage: os.system.usage.handler(({ signal }) =>
      eventsLater(signal, services.usage.watch(signal)),
    ),
    doctor: os.system.doctor.handler(async () =>
      (await runDoctor()).map(({ title, status, detail, fix }) => ({ title, status, detail, fix })),
    ),
    config: os.system.config.handler(async () =>
      (await describeEffective()).map(({ key, shown, origin }) => ({ key, value: shown, origin })),
    ),
    logs: os.system.logs.handler(() => {
      const text = readFileSync(services.config.paths.daemonLog, "utf8");
      return { lines: text.trimEnd().split("\n").slice(-LOG_LINES_MAX) };
    }),
  };
}
