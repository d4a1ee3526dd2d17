/** The command tree: every command with its arguments, flags and examples, and nothing that runs. */
import { countArg } from "#cli/args/numbers.ts";
import { imageCommands } from "./image.ts";
import { kernelCommands } from "./kernel.ts";
import { any, command, group, one, toggle, value } from "./types.ts";
import { vmCommands } from "./vm.ts";

const daemonCommands = group("The background service, started when it is needed", {
  start: command({ brief: "Start the daemon", examples: ["banger daemon start"] }),
  stop: command({
    brief: "End the daemon; machines run on",
    examples: ["banger daemon stop"],
  }),
  restart: command({
    brief: "End the daemon and start it again; machines run on",
    examples: ["banger daemon restart"],
  }),
  status: command({
    brief: "Show whether the daemon runs",
    examples: ["banger daemon status", "banger daemon status --json"],
  }),
  logs: command({
    brief: "Print the daemon's log",
    flags: {
      follow: toggle("-f, --follow", "Go on printing what is added"),
      tail: value("-n, --tail <lines>", "Only the last lines", countArg),
    },
    examples: ["banger daemon logs -f"],
  }),
  run: command({
    brief: "Be the daemon, in the foreground",
    details: "For service managers: the log goes to standard error.",
    examples: ["banger daemon run"],
  }),
});

const configCommands = group("Settings and where they come from", {
  show: command({
    brief: "Print each value and where it came from",
    examples: ["banger config show", "banger config show --json"],
  }),
  path: command({
    brief: "Print the path of the configuration file",
    examples: ["$EDITOR $(banger config path)"],
  }),
});

export const root = group("Real virtual machines from OCI images on your own Linux computer", {
  vm: vmCommands,
  image: imageCommands,
  kernel: kernelCommands,
  daemon: daemonCommands,
  config: configCommands,
  doctor: command({
    brief: "Check what this computer has for running machines, and how to mend what is missing",
    details: "The exit status is 0 when machines can run. Works with the daemon down.",
    examples: ["banger doctor", "banger doctor --json"],
  }),
  "ssh-config": command({
    brief: "Print the lines for ~/.ssh/config that make `ssh NAME.vm` work",
    examples: ["banger ssh-config >> ~/.ssh/config"],
  }),
  completion: command({
    brief: "Print the completion script for a shell",
    args: { shell: one("bash, zsh or fish") },
    examples: [
      "source <(banger completion bash)",
      "banger completion zsh > ~/.zfunc/_banger",
      "banger completion fish > ~/.config/fish/completions/banger.fish",
    ],
  }),
  version: command({
    brief: "Print the version",
    examples: ["banger version", "banger version --json"],
  }),
  "ssh-proxy": command({
    brief: "Be the ssh server of a machine on standard input and output",
    details: "For ssh's ProxyCommand; see `banger ssh-config`.",
    args: { vm: one("Name of the machine, with or without .vm") },
    isHidden: true,
    examples: ["ssh -o ProxyCommand='banger ssh-proxy %n' root@testbox.vm"],
  }),
  complete: command({
    brief: "Answer the completion scripts",
    args: {
      words: any("The words of the command line so far, the last one unfinished", {
        isVerbatim: true,
      }),
    },
    isHidden: true,
    isPassThrough: true,
    examples: ["banger complete -- vm ss"],
  }),
});

/** What a user of docker types first, and the command it means. */
export const shortcuts: Readonly<Record<string, readonly [keyof typeof root.commands, string]>> = {
  create: ["vm", "create"],
  run: ["vm", "run"],
  exec: ["vm", "exec"],
  ssh: ["vm", "ssh"],
  ps: ["vm", "list"],
  ls: ["vm", "list"],
  list: ["vm", "list"],
  start: ["vm", "start"],
  stop: ["vm", "stop"],
  restart: ["vm", "restart"],
  kill: ["vm", "kill"],
  rm: ["vm", "rm"],
  logs: ["vm", "logs"],
  wait: ["vm", "wait"],
  inspect: ["vm", "show"],
  vms: ["vm", "list"],
  pull: ["image", "pull"],
  images: ["image", "list"],
  rmi: ["image", "rm"],
  kernels: ["kernel", "list"],
};
