import { resolve } from "node:path";
import { labelName, VM_TTL_MAX_MS, VM_TTL_MIN_MS } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { selfCommand } from "#base/self-command.ts";
import { didYouMean } from "#base/similar.ts";
import type { Context, Handler } from "#cli/context.ts";
import type { mcpCommand } from "#cli/spec/mcp.ts";
import type { Input } from "#cli/spec/types.ts";
import { DEFAULT_TTL_MS } from "#mcp/backend.ts";
import { MCP_CLIENTS, type McpClient } from "#mcp/install/names.ts";
import { openExec } from "#sdk/exec.ts";

type Spec = typeof mcpCommand;
type Flags = Input<Spec>["flags"];

const DEFAULT_OWNER = "mcp";

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  checkFlags(flags, args.action);
  if (args.action === undefined) return await serve(flags, context);
  if (args.action !== "install") {
    throw new BangerError("invalid_argument", `unknown action "${args.action}"`, {
      hint: "Run: banger mcp install claude-code",
    });
  }
  return await install(clientOf(args.client), flags, context);
};

function checkFlags({ ttl, owner, all, print, file }: Flags, action: string | undefined): void {
  if (owner !== undefined && all) {
    throw new BangerError("invalid_argument", "conflicting options: --owner and --all");
  }
  if (owner !== undefined && !labelName.safeParse(owner).success) {
    throw new BangerError("invalid_argument", `invalid value for --owner: "${owner}"`, {
      hint: "Use letters, digits, dots, slashes, dashes and underscores",
    });
  }
  if (ttl !== undefined && (ttl < VM_TTL_MIN_MS || ttl > VM_TTL_MAX_MS)) {
    throw new BangerError(
      "invalid_argument",
      "invalid value for --ttl: not between 1s and 10 years",
    );
  }
  const isOfInstall = print ? "--print" : file === undefined ? undefined : "--file";
  if (action === undefined && isOfInstall) {
    throw new BangerError("invalid_argument", `${isOfInstall} is for install`, {
      hint: "Run: banger mcp install claude-code --print",
    });
  }
}

async function serve({ profile, ttl, owner, all }: Flags, context: Context): Promise<void> {
  const { serveMcp } = await import("#mcp/stdio.ts");
  const { interrupt, output, paths } = context;
  await serveMcp({
    backend: {
      client: () => context.daemon(),
      exec: (open, options) =>
        openExec(paths.socket, open, {
          ...options,
          async revive() {
            await context.daemon();
            return paths.socket;
          },
        }),
      scope: "full",
      owner: all ? undefined : (owner ?? DEFAULT_OWNER),
    },
    profile: profile ?? "default",
    ttl_ms: ttl ?? DEFAULT_TTL_MS,
    stdin: process.stdin,
    stdout: process.stdout,
    signal: interrupt.signal,
    note: output.note,
  });
}

function clientOf(name: string | undefined): McpClient {
  const client = MCP_CLIENTS.find((each) => each === name);
  if (client) return client;
  const known = `Clients: ${MCP_CLIENTS.join(", ")}`;
  throw new BangerError(
    "invalid_argument",
    name === undefined ? "missing argument: CLIENT" : `unknown client "${name}"`,
    { hint: name === undefined ? known : didYouMean(name, [...MCP_CLIENTS], known) },
  );
}

async function install(client: McpClient, flags: Flags, { output }: Context): Promise<void> {
  const { installMcp } = await import("#mcp/install/install.ts");
  const [command = "banger", ...words] = [...selfCommand(), "mcp", ...flagWords(client, flags)];
  const file = flags.file === undefined ? undefined : resolve(flags.file);
  const done = installMcp({ client, command, args: words, file, isDryRun: flags.print });
  await output.document(done, () => (flags.print ? done.entry : done.file));
  if (!flags.print && !done.changed) output.note(`Nothing to change in ${done.file}`);
}

/** The flags of the server that the client starts. */
function flagWords(client: McpClient, { profile, ttl, owner, all }: Flags): string[] {
  return [
    ...(all ? ["--all"] : ["--owner", owner ?? client]),
    ...(profile === undefined ? [] : ["--profile", profile]),
    ...(ttl === undefined ? [] : ["--ttl", `${ttl}ms`]),
  ];
}
