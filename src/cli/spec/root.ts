/** The command tree: every command with its arguments, flags and examples, and nothing that runs. */
import { textArg } from "#cli/args/numbers.ts";
import { daemonCommands, debugCommands, eventsCommand, repairCommand } from "./daemon.ts";
import { imageCommands } from "./image.ts";
import { kernelCommands } from "./kernel.ts";
import { dnsCommands, setupCommand } from "./setup.ts";
import { any, command, group, one, toggle, value } from "./types.ts";
import { vmCommands } from "./vm.ts";
import { networkCommands } from "./vm-network.ts";

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
  network: networkCommands,
  daemon: daemonCommands,
  config: configCommands,
  dns: dnsCommands,
  repair: repairCommand,
  events: eventsCommand,
  debug: debugCommands,
  doctor: command({
    brief: "Check what this computer has for running machines, and how to mend what is missing",
    details: "The exit status is 0 when machines can run. Works with the daemon down.",
    examples: ["banger doctor", "banger doctor --json"],
  }),
  setup: setupCommand,
  "ssh-config": command({
    brief: "Make `ssh NAME.vm` work: print the lines for ~/.ssh/config, or put them there",
    details:
      "With them scp, sftp, rsync, git and editors reach machines by name, without an address and without a question.",
    flags: {
      install: toggle("--install", "Add one Include line to ~/.ssh/config"),
      uninstall: toggle("--uninstall", "Take it out again"),
      file: value("--file <file>", "Another file than ~/.ssh/config", textArg, {
        completes: "path",
      }),
    },
    examples: ["banger ssh-config --install", "banger ssh-config >> ~/.ssh/config"],
  }),
  completion: command({
    brief: "Print the completion script for a shell",
    details: `Load it where your shell starts: for bash a line in ~/.bashrc, which needs no other package; for zsh a file in
a directory of $fpath, before compinit; for fish a file in its completions directory. Machines, images,
kernels, sessions and paths in machines are asked from the daemon, which is not started for it.`,
    args: { shell: one("bash, zsh or fish", { choices: ["bash", "zsh", "fish"] }) },
    examples: [
      "source <(banger completion bash)",
      "echo 'source <(banger completion bash)' >> ~/.bashrc",
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
