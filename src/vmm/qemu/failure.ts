/** Maps the stderr of a QEMU that ends at once to one of our errors. */
import { BangerError, type ErrorCode, toBangerError } from "#base/error.ts";

const STDERR_MAX_CHARS = 1500;

interface Known {
  pattern: RegExp;
  code: ErrorCode;
  hint: string;
}

const known: readonly Known[] = [
  {
    pattern: /Failed to get "?(write|shared|consistent read)/,
    code: "conflict",
    hint: "The disk is in use by another process: stop the machine that uses it",
  },
  {
    pattern: /could not configure .*tun.*(Operation not permitted|Permission denied)/,
    code: "permission_denied",
    hint: "Run sudo banger setup, or use --net user",
  },
  {
    pattern: /could not configure .*tun.*busy/i,
    code: "conflict",
    hint: "The tap device is in use by another process: stop the machine that uses it",
  },
  {
    pattern: /could not open \/dev\/net\/tun/,
    code: "unavailable",
    hint: "Run sudo modprobe tun, or use --net user",
  },
  {
    pattern: /(KVM|kvm).*(Permission denied|No such file|failed)|failed to set MSR/,
    code: "unavailable",
    hint: "banger doctor",
  },
  {
    pattern: /[Cc]annot allocate memory|cannot set up guest memory/,
    code: "limit_exceeded",
    hint: "Use less --memory, or stop another machine",
  },
  {
    pattern: /Could not open|could not open|No such file or directory/,
    code: "not_found",
    hint: "A file of the machine is missing: recreate the machine",
  },
];

/** The error for a QEMU that ended before it was up. `how`: "status 1", "SIGSEGV". */
export function startFailure(stderr: string, how: string): BangerError {
  const text = saidIn(stderr);
  const shown = text || `QEMU exited with ${how}`;
  const match = known.find(({ pattern }) => pattern.test(text));
  return new BangerError(match?.code ?? "internal", `Cannot start the machine: ${shown}`, {
    hint: match?.hint,
  });
}

/**
 * The error for a QEMU that did not load the state of a snapshot: `integrity` if its error message says so. One
 * that exited without a message was killed.
 */
export function restoreFailure(stderr: string, cause: unknown): BangerError {
  const said = saidIn(stderr);
  const { code, message } = toBangerError(cause);
  const why = said || message.replace(/^Cannot restore the machine: /, "");
  return new BangerError(said ? "integrity" : code, `Cannot restore the machine: ${why}`, {
    cause,
  });
}

function saidIn(stderr: string): string {
  const text = stderr.trim().replace(/^qemu-system-\w+: /gm, "");
  return text.slice(-STDERR_MAX_CHARS);
}
