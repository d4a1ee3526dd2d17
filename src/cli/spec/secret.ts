/** Secrets: the flag of machines, and the user's keyring. */
import { durationArg, textArg } from "#cli/args/numbers.ts";
import { any, command, group, list, one, some, value } from "./types.ts";

export const secretFlag = list(
  "--secret <secret>",
  "Let the machine use a secret that never enters it: NAME[=@FILE|=env:VAR]@HOST[,HOST]...",
);

export const sshAgentFlag = list(
  "--ssh-agent <hosts>",
  "Let your ssh agent sign the machine's logins to these hosts only: HOST[:PORT][,HOST]...",
);

export const secretCommands = group("Manage secrets for machines", {
  set: command({
    brief: "Store a secret in your keyring, or the command that prints it",
    details: `The value is read from the terminal or from stdin. A command is run on this host, without a shell, when a machine
first needs the secret; it prints a token, or JSON with token and expires_in.`,
    args: {
      name: one("Name of the secret, and of the variable in machines", { completes: "secret" }),
      command: any("Command that prints a short-lived token"),
    },
    flags: {
      file: value("--file <file>", "Read the value from a file", textArg, { completes: "path" }),
      env: value("--env <name>", "Read the value from an environment variable", textArg),
      ttl: value(
        "--ttl <duration>",
        "How long a command's token is used if it does not say when it expires (default: 5m)",
        durationArg,
      ),
    },
    examples: [
      "banger secret set GITHUB_TOKEN",
      "banger secret set NPM_TOKEN --file ~/.npm-token",
      "banger secret set GITHUB_TOKEN -- gh auth token",
    ],
  }),
  list: command({
    brief: "List secrets, without their values",
    aliases: ["ls"],
    examples: ["banger secret list", "banger secret list --json"],
  }),
  rm: command({
    brief: "Remove secrets; machines cannot use them any more",
    aliases: ["remove", "delete"],
    args: { secrets: some("Names of secrets", { completes: "secret" }) },
    examples: ["banger secret rm GITHUB_TOKEN"],
  }),
});
