/** A machine that reports changes of its files, for mirrors. */
import { BangerError } from "#base/error.ts";
import { bytesOfText, textOfBytes } from "#base/raw-text.ts";
import type { Context } from "#cli/context.ts";
import type { GuestChange, LivePort } from "#workspace/live/ports.ts";
import { toBytes } from "#workspace/names.ts";
import { machinePort } from "./port.ts";

/** Of a character that the agent's client does not show. */
const UNCLEAR = "\ufffd";

export function livePort(
  context: Context,
  vm: { id: string; name: string },
  user: string | undefined,
): LivePort {
  const { signal } = context.interrupt;
  return {
    ...machinePort(context, vm.id, user),
    async *watch(path, ends) {
      const client = await context.daemon();
      const request = { name: vm.id, path, recursive: true };
      for await (const change of await client.file.watch(request, { signal: ends })) {
        yield { ...change, name: nameBelow(path, change.path) } satisfies GuestChange;
      }
    },
    async removeEmpty(path, name) {
      const client = await context.daemon();
      const target = { name: vm.id, path: `${path}/${textOfBytes(toBytes(name))}` };
      try {
        await client.file.remove({ ...target, recursive: false, force: true }, { signal });
      } catch (error) {
        // Something is in it, or it is a mount point.
        if (!(error instanceof BangerError) || error.code === "cancelled") throw error;
      }
    },
    async ended() {
      try {
        const client = await context.daemon();
        const { state } = await client.vm.show({ name: vm.id }, { signal });
        return state === "running" ? undefined : state;
      } catch (error) {
        if (error instanceof BangerError && error.code === "not_found") return "removed";
        // Of a daemon that starts again nothing is known yet.
        return undefined;
      }
    },
  };
}

/** Undefined if the name is not exact, or of another place. */
function nameBelow(root: string, path: string): string | undefined {
  if (path === root) return "";
  if (path.includes(UNCLEAR) || !path.startsWith(`${root}/`)) return undefined;
  return Buffer.from(bytesOfText(path.slice(root.length + 1))).toString("latin1");
}
