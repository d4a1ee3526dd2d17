import { onAbort } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import type { Context, Handler } from "#cli/context.ts";
import { listenThere } from "#cli/forward/inward.ts";
import { type ForwardOptions, listenHere } from "#cli/forward/outward.ts";
import { endText, type ForwardSpec, parseForward } from "#cli/forward/spec.ts";
import { pause, untilInterrupted } from "#cli/pause.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

/** Between two tries to listen in a machine that is out of reach. */
const RETRY_PAUSE_MS = 1000;

export const run: Handler<typeof vmCommands.commands.forward> = async (
  { args, flags },
  context,
) => {
  const specs = args.ports.map(parseForward);
  const { output, interrupt, paths } = context;
  const client = await context.daemon();
  const { name } = await client.vm.show({ name: args.vm }, { signal: interrupt.signal });
  const options: ForwardOptions = {
    socket: paths.socket,
    vm: name,
    onFailure: (message) => output.note(safeLine(message)),
  };
  if (flags.reverse) {
    await Promise.all(specs.map((spec) => keepListening(spec, options, context)));
    return;
  }
  using listeners = new DisposableStack();
  for (const spec of specs) {
    const { text } = listeners.use(await listenHere(spec, options));
    const remote = endText(spec.remote, "");
    await output.item(
      { from: text, vm: name, to: remote },
      `${text} -> ${name}:${remote.replace(/^:/, "")}`,
    );
  }
  await untilInterrupted(interrupt.signal);
};

/** Again and again, since a machine that is started anew no longer listens. */
async function keepListening(
  spec: ForwardSpec,
  options: ForwardOptions,
  { output, interrupt }: Context,
): Promise<void> {
  const { signal } = interrupt;
  for (let isFirst = true; ; isFirst = false) {
    const listener = listenThere(spec, options);
    using _ = onAbort(signal, () => listener.close());
    try {
      await listener.ready;
      const local = endText(spec.local, "127.0.0.1");
      const from = `${options.vm}:${listener.text}`;
      await output.item({ from, to: local }, `${from} -> ${local}`);
      await listener.ended;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // What cannot be at the first try is a mistake; later it is a machine that is away.
      if (isFirst) throw error;
      if (error instanceof BangerError && error.code === "not_found") throw error;
      output.note(`Cannot listen in "${options.vm}": ${safeLine(messageOf(error))}`);
    }
    await pause(RETRY_PAUSE_MS, signal);
  }
}
