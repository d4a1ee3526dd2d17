/** Parses HEALTHCHECK. */
import type { Healthcheck } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { execForm } from "./exec-form.ts";
import type { Instruction } from "./instruction.ts";

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const RETRIES_MAX = 2 ** 31 - 1;

/** `invalid_argument`. */
export function parseHealthcheck({
  rest,
  flags,
}: Pick<Instruction, "rest" | "flags">): Healthcheck {
  const [, kind = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (kind.toUpperCase() === "NONE") {
    if (command !== "") throw wrong("HEALTHCHECK NONE does not take a command");
    return { test: ["NONE"] };
  }
  if (kind.toUpperCase() !== "CMD") {
    throw wrong(`HEALTHCHECK requires CMD with a command, or NONE, not "${kind}"`);
  }
  const strings = execForm(command);
  const test = strings ? ["CMD", ...strings] : ["CMD-SHELL", command];
  if (command === "" || strings?.length === 0) throw wrong("HEALTHCHECK CMD requires a command");
  const times = {
    interval_ms: duration(flags, "interval"),
    timeout_ms: duration(flags, "timeout"),
    startPeriod_ms: duration(flags, "start-period"),
    startInterval_ms: duration(flags, "start-interval"),
    retries: retries(flags.get("retries")),
  };
  const given = Object.entries(times).filter(([, value]) => value !== undefined && value !== 0);
  return { test, ...Object.fromEntries(given) };
}

/** A Go duration: "1h30m", "1.5s", "0". */
function duration(flags: ReadonlyMap<string, string>, name: string): number | undefined {
  const text = flags.get(name);
  if (text === undefined || text === "" || /^[+-]?0$/.test(text)) return undefined;
  const isWhole = /^[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text);
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)([a-zµμ]+)/g)];
  const sum = parts.reduce(
    (all, [, value, unit]) => all + Number(value) * (UNITS_MS[unit ?? ""] ?? 0),
    0,
  );
  const ms = text.startsWith("-") ? -sum : sum;
  if (!isWhole) throw wrong(`invalid duration for --${name}: "${text}", use 30s or 1m30s`);
  if (ms !== 0 && ms < 1) throw wrong(`--${name} must be at least 1ms, not "${text}"`);
  return ms;
}

function retries(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const count = Number(text);
  if (/^[+]?\d+$/.test(text) && count <= RETRIES_MAX) return count;
  throw wrong(`invalid number for --retries: "${text}"`);
}

function wrong(message: string): BangerError {
  return new BangerError("invalid_argument", message);
}
