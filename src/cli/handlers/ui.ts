import { writeFileAtomic } from "#base/files/atomic.ts";
import { which } from "#base/run.ts";
import type { Context, Handler } from "#cli/context.ts";
import type { uiCommand } from "#cli/spec/ui.ts";
import { desktopOf } from "#config/environment.ts";

export const run: Handler<typeof uiCommand> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { signal } = interrupt;
  if (flags.logout) {
    await client.ui.close(undefined, { signal });
    output.note("Logged out of the web UI");
    return;
  }
  const { url, code } = await client.ui.open({ port: flags.port }, { signal });
  const address = `${url}/ui/#login=${code}`;
  const desktop = desktopOf();
  await output.document({ url: address }, () => address);
  if (desktop.ssh) {
    const { hostname, port } = new URL(url);
    const ends = `${port || 80}:${hostname}:${port || 80}`;
    output.note(`Forward the port on your own computer first: ssh -L ${ends} ${desktop.ssh}`);
    return;
  }
  if (flags.noOpen || output.json || output.quiet || !desktop.hasDisplay) return;
  if (!openBrowser(context, address)) output.note("Open this address in a browser.");
};

/**
 * By way of a file that only this user can read: everybody can read the arguments of a process, and whoever is first
 * uses the code.
 */
function openBrowser({ paths }: Context, address: string): boolean {
  const opener = which("xdg-open");
  if (!opener) return false;
  const page = `<!doctype html><meta charset="utf-8"><title>banger</title><meta http-equiv="refresh" content="0; url=${address}">\n`;
  writeFileAtomic(paths.uiLogin, page, { mode: 0o600 });
  Bun.spawn([opener, paths.uiLogin], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  }).unref();
  return true;
}
