/** The API on TCP and its tokens. */
import { durationArg, textArg } from "#cli/args/numbers.ts";
import { choice, command, group, list, optional, some, value } from "./types.ts";

export const serveCommand = command({
  brief: "Serve the API on TCP until interrupted",
  details: `The daemon serves it for as long as this command runs; \`listen\` in section [serve] of the configuration has it
served always. Each request needs a token: see \`banger token create\`. An address that other hosts reach
needs TLS and a token.`,
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
    brief: "Create a token and print it, once",
    details: `Scope own sees and changes the machines that the token has created, full all that you can yourself, read changes
nothing. The daemon stores only a hash of the token.`,
    args: { name: optional("Token name (default: generated)") },
    flags: {
      scope: choice("--scope <scope>", "own, full, read (default: own)", ["own", "full", "read"]),
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
