/** The API on TCP and its tokens. */
import { durationArg, textArg } from "#cli/args/numbers.ts";
import { choice, command, group, list, optional, some, value } from "./types.ts";

export const serveCommand = command({
  brief: "Serve the API on TCP until interrupted",
  details: `The daemon serves it while this command runs. To serve it whenever the daemon runs, set \`listen\` in section
[serve] of the configuration. Each request needs a token: see \`banger token create\`. An address that other
hosts can reach needs TLS.`,
  flags: {
    listen: value("-l, --listen <address>", "Address and port (default: 127.0.0.1:7777)", textArg),
    tlsCert: value("--tls-cert <file>", "TLS certificate chain, a PEM file", textArg, {
      completes: "path",
    }),
    tlsKey: value("--tls-key <file>", "Private key of the certificate, a PEM file", textArg, {
      completes: "path",
    }),
    host: list("--host <name>", "Another host name that clients use; repeatable"),
  },
  isEndless: true,
  examples: [
    "banger serve",
    "banger serve --listen 127.0.0.1:8080",
    "banger serve --listen 0.0.0.0:7777 --tls-cert cert.pem --tls-key key.pem --host box.example.org",
  ],
});

const tokens = some("Token names or IDs");

export const tokenCommands = group("Manage tokens for the API", {
  create: command({
    brief: "Create a token and print it; it is not shown again",
    details: `Scope own permits creating machines and using only these; full, everything that you can do yourself; read, seeing
all machines and changing nothing. The daemon stores only a hash of the token.`,
    args: { name: optional("Token name (default: generated)") },
    flags: {
      scope: choice("--scope <scope>", "What the token permits (default: own)", [
        "own",
        "full",
        "read",
      ]),
      expires: value(
        "--expires <duration>",
        "Lifetime, such as 30d (default: unlimited)",
        durationArg,
      ),
    },
    examples: [
      "banger token create ci --expires 30d",
      "banger token create --scope read prometheus",
      "export BANGER_TOKEN=$(banger token create -q --scope full laptop)",
    ],
  }),
  list: command({
    brief: "List tokens",
    aliases: ["ls"],
    examples: ["banger token list", "banger token list --json"],
  }),
  rm: command({
    brief: "Revoke tokens and end their connections; their machines stay",
    aliases: ["remove", "delete", "revoke"],
    args: { tokens },
    examples: ["banger token rm ci"],
  }),
});
