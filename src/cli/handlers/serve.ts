import { resolve } from "node:path";
import type { Handler } from "#cli/context.ts";
import type { serveCommand } from "#cli/spec/serve.ts";

export const run: Handler<typeof serveCommand> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const { listen: address, tlsCert, tlsKey, host } = flags;
  const client = await context.daemon();
  const wanted = {
    address,
    cert: tlsCert && resolve(tlsCert),
    key: tlsKey && resolve(tlsKey),
    hosts: host.length > 0 ? host : undefined,
  };
  const serving = await client.serve.listen(wanted, { signal: interrupt.signal });
  for await (const each of serving) {
    await output.item(each, each.url);
    if ((await client.token.list()).length > 0) continue;
    output.note("No token exists yet. Create one with: banger token create");
  }
};
