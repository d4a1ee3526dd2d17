/** `bun net-namespace.ts RECORD`: makes a user's network namespace as a daemon does, and prints its process's number. */
import { ensureNamespace } from "#net/rootless/namespace.ts";

const { holder } = await ensureNamespace(process.argv[2] ?? "");
console.log(holder.pid);
