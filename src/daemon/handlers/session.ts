/** Procedures for sessions. */
import { onAbort } from "#base/abort.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { sees } from "#daemon/serve/authorize.ts";
import type { Session } from "#vm/sessions/session.ts";
import type { Base } from "./base.ts";

export function sessionHandlers({ os, services }: Base) {
  const { sessions, vms } = services;
  return {
    list: os.session.list.handler(({ input, context: { caller } }) => {
      const seen = new Set(vms.list().flatMap((vm) => (sees(caller, vm) ? [vm.name] : [])));
      return sessions.list(input.vm).filter(({ vm }) => seen.has(vm));
    }),
    show: os.session.show.handler(({ input }) => sessions.find(input.vm, input.session).toApi()),
    start: os.session.start.handler(({ input, signal }) => sessions.start(input, signal)),
    send: os.session.send.handler(async ({ input, signal }) => {
      const session = sessions.find(input.vm, input.session);
      const data = Buffer.from(input.data, "base64");
      if (data.length > 0) await session.send(data, signal);
      if (input.eof) await session.closeInput(signal);
      return {};
    }),
    signal: os.session.signal.handler(async ({ input }) => {
      await sessions.find(input.vm, input.session).signal(input.signal);
      return {};
    }),
    resize: os.session.resize.handler(async ({ input }) => {
      await sessions.find(input.vm, input.session).resize(input.size);
      return {};
    }),
    wait: os.session.wait.handler(async ({ input, signal }) => {
      const session = sessions.find(input.vm, input.session);
      await waitFor(session, input.timeout_ms, signal);
      return session.toApi();
    }),
    remove: os.session.remove.handler(async ({ input }) => {
      await sessions.remove(input.vm, input.session, { force: input.force ?? false });
      return {};
    }),
  };
}

async function waitFor(
  session: Session,
  timeout_ms: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void =>
    stopped.reject(new BangerError("cancelled", "cancelled while waiting for the session"));
  const late = (): void =>
    stopped.reject(
      new BangerError(
        "timeout",
        `timed out waiting for the session after ${formatDuration(timeout_ms ?? 0)}`,
      ),
    );
  const timer = timeout_ms === undefined ? undefined : setTimeout(late, timeout_ms);
  using _ = onAbort(signal, stop);
  try {
    await Promise.race([session.ended, stopped.promise]);
  } finally {
    clearTimeout(timer);
  }
}
