/** The command that a template starts its sandboxes with, and the one that tells when that is ready. */
import type { Vm } from "#api/vm.ts";
import { sleep } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { Backend } from "#e2b/backend.ts";
import { shellArgv, type TemplateSettings } from "#e2b/templates/dockerfile.ts";

/** A session, so that `banger vm logs` and a later daemon have its output. */
const SESSION = "start";
const READY_PAUSE_MS = 250;
const READY_MAX_MS = 300_000;

export async function startTemplate(
  backend: Backend,
  { id }: Vm,
  { start, ready, signal }: TemplateSettings & { signal: AbortSignal },
): Promise<void> {
  if (start !== undefined) {
    const argv = shellArgv(start);
    await backend.client.session.start({ vm: id, session: SESSION, argv }, { signal });
  }
  if (ready === undefined) return;
  const until_ms = performance.now() + READY_MAX_MS;
  for (;;) {
    const { exited } = backend.exec(
      { kind: "exec", vm: id, exec: { argv: shellArgv(ready) } },
      { signal },
    );
    const exit = await exited;
    if ("code" in exit && exit.code === 0) return;
    if (performance.now() > until_ms) {
      throw new BangerError("timeout", "the template's ready command did not succeed in 5 minutes");
    }
    await sleep(READY_PAUSE_MS, signal);
  }
}
