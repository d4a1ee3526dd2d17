import { BangerError } from "#base/error.ts";
import { readEnvironment } from "#cli/args/env.ts";
import { labelsOf } from "#cli/args/labels.ts";
import { limitsOf } from "#cli/args/limits.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.set> = async ({ args, flags }, context) => {
  const { cpus, memory, disk, hostname, restart, idleStop, idleSuspend, ttl } = flags;
  const env = { ...readEnvironment(flags), ...nulls(flags.unsetEnv) };
  const labels = { ...labelsOf(flags.label), ...nulls(flags.removeLabel) };
  const settings = {
    cpus,
    memory_mib: memory,
    disk_bytes: disk,
    limits: limitsOf(flags),
    hostname,
    restart,
    idleStop_ms: idleStop,
    idleSuspend_ms: idleSuspend,
    ttl_ms: ttl === undefined ? undefined : ttl === 0 ? null : ttl,
    env: isEmpty(env) ? undefined : env,
    labels: isEmpty(labels) ? undefined : labels,
  };
  if (Object.values(settings).every((each) => each === undefined)) {
    throw new BangerError("invalid_argument", "nothing to change: no settings given", {
      hint: "List the settings with: banger vm set --help",
    });
  }
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const vm = await client.vm.set({ name: args.vm, ...settings }, { signal });
  await context.output.document(vm, () => vm.name);
  if (vm.pending?.length) {
    const what = vm.pending.join(", ");
    context.output.note(`${what}: takes effect at the next start (banger vm restart ${vm.name})`);
  }
};

function isEmpty(changes: object): boolean {
  return Object.keys(changes).length === 0;
}

function nulls(names: readonly string[]): Record<string, null> {
  return Object.fromEntries(names.map((name) => [name, null]));
}
