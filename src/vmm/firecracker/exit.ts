/** Why a Firecracker ended or failed to start, from its exit status and logs. */
import { BangerError } from "#base/error.ts";
import type { ExitReason } from "#vmm/driver.ts";
import { type LastWord, resetReason } from "#vmm/goodbye.ts";
import type { ProcessEnd } from "#vmm/machine-process.ts";
import { type ExitStatus, wasEndedBySignal } from "#vmm/process.ts";

const DETAIL_MAX_CHARS = 1500;

export interface ExitFacts extends LastWord, ProcessEnd {
  /** End of what Firecracker wrote. */
  log: string;
}

/** Exit codes of Firecracker that are no accident of ours. */
const codes: Record<number, string> = {
  1: "internal error",
  2: "unexpected internal error",
  148: "system call blocked by its seccomp filter",
  149: "SIGBUS: the disk is full, or mapped memory was lost",
  150: "SIGSEGV",
  151: "SIGXFSZ: file size limit exceeded",
  152: "invalid configuration",
  153: "invalid arguments",
  154: "SIGXCPU",
  155: "SIGPIPE",
  156: "SIGHUP",
  157: "SIGILL: instruction not supported by this CPU",
};

/** The last that Firecracker logs, unless it was killed: its exit status. */
const STATUS_LOGGED = /Firecracker exiting .*exit_code=(\d{1,3})$/m;

/** Every end of the guest is a reset, with status 0: what kind of end it was only the guest tells. */
export function exitReason(facts: ExitFacts): ExitReason {
  const { killed, log } = facts;
  if (killed) return { kind: "killed" };
  // Nobody has seen the status of a process that is not our child.
  const status = facts.status ?? loggedStatus(log);
  if (!status) return resetReason({ ...facts, isHeard: false });
  if (wasEndedBySignal(status)) return { kind: "killed" };
  if (status.code === 0) return resetReason(facts);
  return { kind: "crashed", detail: describe(status, log) };
}

function loggedStatus(log: string): ExitStatus | undefined {
  const [, code] = STATUS_LOGGED.exec(log) ?? [];
  return code === undefined ? undefined : { code: Number(code), signal: null };
}

/** The error for a Firecracker that ended before its machine ran. `step`: the request it was at. */
export function startFailure(status: ExitStatus, log: string, step: string): BangerError {
  const isKvm = /\/dev\/kvm|KVM/.test(log);
  const message = `Cannot start the machine: Firecracker exited at ${step}: ${describe(status, log)}`;
  return new BangerError(isKvm ? "unavailable" : "internal", message, {
    hint: isKvm ? "banger doctor" : undefined,
  });
}

function describe({ code, signal }: ExitStatus, log: string): string {
  const meaning = code === null ? undefined : codes[code];
  const how = signal === null ? `status ${code}${meaning ? ` (${meaning})` : ""}` : String(signal);
  const text = log.trim().slice(-DETAIL_MAX_CHARS);
  return text === "" ? how : `${how}: ${text}`;
}
