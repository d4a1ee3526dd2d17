/** Running copies of a running machine. */
import { VM_FORKS_MAX, type VmFork, type VmForked } from "#api/snapshot.ts";
import { type Vm, vmName } from "#api/vm.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";

/** Names of the copies; undefined where they are generated. `invalid_argument`. */
export function forkNames({ pattern, count = 1 }: VmFork): (string | undefined)[] {
  return Array.from({ length: Math.min(count, VM_FORKS_MAX) }, (_, index) => {
    if (pattern === undefined) return undefined;
    const isNumbered = pattern.includes("{}");
    if (!isNumbered && count === 1) return checked(pattern);
    const number = String(index + 1);
    return checked(isNumbered ? pattern.replaceAll("{}", number) : `${pattern}-${number}`);
  });
}

function checked(name: string): string {
  const { success, error } = vmName.safeParse(name);
  if (success) return name;
  const [issue] = error.issues;
  throw new BangerError("invalid_argument", `invalid machine name "${name}": ${issue?.message}`);
}

/** A port of the host can be published by one machine alone. */
export function assertFreePorts({ ports = [], count = 1 }: VmFork): void {
  const fixed = ports.find(({ hostPort }) => hostPort !== 0);
  if (!fixed || count === 1) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot publish port ${fixed.hostPort} of the host for ${count} machines`,
    { hint: `Let each have a port that is free: -p ${fixed.guestPort}` },
  );
}

/** Waits for all; where some fail the others stay, and are named. */
export async function allMade(
  source: string,
  making: readonly Promise<Vm>[],
  { remove, signal }: Pick<WorkOptions, "signal"> & { remove: (id: string) => Promise<void> },
): Promise<VmForked["machines"]> {
  const results = await Promise.allSettled(making);
  const made = results.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failures = results.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  const [first] = failures;
  if (failures.length === 0) return made;
  if (signal?.aborted) {
    await Promise.all(made.map(({ id }) => remove(id)));
    throw first;
  }
  const names = made.map(({ name }) => name);
  const code = first instanceof BangerError ? first.code : "internal";
  const exist = names.length > 0 ? `; running: ${names.join(", ")}` : "";
  throw new BangerError(
    code,
    `Cannot create ${failures.length} of ${results.length} copies of "${source}": ${messageOf(first)}${exist}`,
    {
      hint:
        names.length > 0
          ? `Remove the others with: banger vm rm --force ${names.join(" ")}`
          : first instanceof BangerError
            ? first.hint
            : undefined,
      cause: first,
    },
  );
}
