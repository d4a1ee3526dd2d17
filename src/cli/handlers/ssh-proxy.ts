import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";
import { rememberHost } from "#cli/ssh/known-hosts.ts";
import { hostAlias, vmOfHost } from "#cli/ssh/options.ts";
import { assertRunning } from "#cli/ssh/running.ts";
import { publicKeyOf, serveSsh } from "#cli/ssh/server.ts";
import { stdioTransport } from "#cli/ssh/transport.ts";

type Spec = (typeof root.commands)["ssh-proxy"];

export const run: Handler<Spec> = async ({ args }, context) => {
  const name = vmOfHost(args.vm);
  const client = await context.daemon();
  const [vm, identity] = await Promise.all([
    client.vm.show({ name }),
    client.vm.sshIdentity({ name }),
  ]);
  assertRunning(vm);
  // The names that ssh may look the key up by: what was typed, and what it means.
  const key = publicKeyOf(identity.hostKey);
  for (const host of new Set([hostAlias(name), hostAlias(vm.name)])) {
    await rememberHost(context.paths.knownHosts, host, key);
  }
  // ssh ends the proxy by closing its streams, and ^C at the terminal is for the guest.
  using _ = context.interrupt.takeOver((signal) => {
    if (signal === "SIGTERM" || signal === "SIGHUP") process.exit(0);
  });
  await serveSsh(stdioTransport(), { socket: context.paths.socket, vm: vm.id }, identity);
};
