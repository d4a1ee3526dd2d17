/** Doctor's checks of Firecracker. */
import type { Check } from "#base/check.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { which } from "#base/run.ts";
import { kvmState } from "#vmm/host.ts";
import { findFirecracker, findJailer, INSTALL_HINT, type Program } from "./program.ts";

export interface CheckOptions {
  program?: string;
  jailer?: string | false;
  /** Whose machines they are; default: of this process. */
  uid?: number | undefined;
}

/** Without Firecracker machines run on QEMU, so nothing here is worse than a warning. */
export async function firecrackerChecks(options: CheckOptions): Promise<Check[]> {
  const base = { id: "firecracker", title: "Firecracker" };
  let firecracker: Program;
  try {
    firecracker = await findFirecracker(options.program);
  } catch (error) {
    const isMissing = error instanceof BangerError && error.code === "not_found";
    const detail = isMissing ? "not installed" : messageOf(error);
    return [
      { ...base, status: "warn", detail: `${detail}; machines run on QEMU`, fix: INSTALL_HINT },
    ];
  }
  const { usable, reason, fix } = kvmState();
  const detail = `${firecracker.path} ${firecracker.version}`;
  const found: Check = usable
    ? { ...base, status: "ok", detail }
    : {
        ...base,
        status: "warn",
        detail: `${detail}, but it needs KVM: ${reason}; machines run on QEMU`,
        fix,
      };
  return [found, await jailerCheck(firecracker, options)];
}

async function jailerCheck(
  firecracker: Program,
  { jailer, uid = process.getuid?.() }: CheckOptions,
): Promise<Check> {
  const base = { id: "firecracker.jailer", title: "Firecracker's jailer" };
  const plain = "Firecracker runs with seccomp filters only";
  if (jailer === false) return { ...base, status: "ok", detail: `disabled; ${plain}` };
  if (uid !== 0) {
    return { ...base, status: "ok", detail: `requires root; ${plain}, as this user` };
  }
  try {
    const found = await findJailer(firecracker, jailer);
    const missing = ["unshare", "mount"].filter((program) => !which(program));
    if (found && missing.length === 0) {
      return { ...base, status: "ok", detail: `${found.path} ${found.version}` };
    }
    const lack = found ? `no ${missing.join(" and ")}` : "not installed";
    const fix = "Install the jailer of the same release beside firecracker";
    return { ...base, status: "warn", detail: `${lack}; ${plain}, as root`, fix };
  } catch (error) {
    const fix = error instanceof BangerError ? error.hint : undefined;
    return { ...base, status: "fail", detail: messageOf(error), fix };
  }
}
