/** The command tree: every command with its arguments, flags and examples, and nothing that runs. */
import { textArg } from "#cli/args/numbers.ts";
import { agentCommands } from "./agent.ts";
import { daemonCommands, debugCommands, eventsCommand, repairCommand } from "./daemon.ts";
import { imageCommands } from "./image.ts";
import { kernelCommands } from "./kernel.ts";
import { mcpCommand } from "./mcp.ts";
import { secretCommands } from "./secret.ts";
import { serveCommand, tokenCommands } from "./serve.ts";
import { dnsCommands, setupCommand } from "./setup.ts";
import { toolingCommands } from "./tooling.ts";
import { any, command, group, one, toggle, value } from "./types.ts";
import { uiCommand } from "./ui.ts";
import { vmCommands } from "./vm.ts";
import { networkCommands, profileCommands } from "./vm-network.ts";
import { volumeCommands } from "./volume.ts";

const configCommands = group("Show the configuration", {
  show: command({
    brief: "Print each setting with its value and source",
    examples: ["banger config show", "banger config show --json"],
  }),
  path: command({
    brief: "Print the path of the configuration file",
    examples: ["$EDITOR $(banger config path)"],
  }),
});

export const root = group("Run OCI images as virtual machines on your own Linux host", {
  vm: vmCommands,
  image: imageCommands,
  kernel: kernelCommands,
  network: networkCommands,
  tooling: toolingCommands,
  agent: agentCommands,
  policy: profileCommands,
  volume: volumeCommands,
  daemon: daemonCommands,
  ui: uiCommand,
  serve: serveCommand,
  token: tokenCommands,
  mcp: mcpCommand,
  secret: secretCommands,
  config: configCommands,
  dns: dnsCommands,
  repair: repairCommand,
  events: eventsCommand,
  debug: debugCommands,
  doctor: command({
    brief: "Check the host and print how to fix each problem",
    details: "Exit status 0 means that machines can run. Does not need the daemon.",
    examples: ["banger doctor", "banger doctor --json"],
  }),
  setup: setupCommand,
  "ssh-config": command({
    brief: "Print or install the ssh client configuration for `ssh NAME.vm`",
    details:
      "scp, sftp, rsync, git and editors can then use NAME.vm, without an address, an sshd in the guest or a host key prompt.",
    flags: {
      install: toggle("--install", "Add one Include line to ~/.ssh/config"),
      uninstall: toggle("--uninstall", "Remove the Include line"),
      file: value("--file <file>", "ssh configuration file (default: ~/.ssh/config)", textArg, {
        completes: "path",
      }),
    },
    examples: ["banger ssh-config --install", "banger ssh-config >> ~/.ssh/config"],
  }),
  completion: command({
    brief: "Print a shell completion script",
    details: `Load it from your shell's start-up file: bash from ~/.bashrc (bash-completion is not needed), zsh from a file in
a directory of $fpath, before compinit, fish from its completions directory. Names of machines, images,
kernels, sessions and guest files come from the daemon if it is running; completion does not start it.`,
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
    brief: "Serve ssh to a machine on stdin and stdout",
    details: "Used as ssh's ProxyCommand; see `banger ssh-config`.",
    args: { vm: one("Name of the machine, with or without .vm") },
    isHidden: true,
    examples: ["ssh -o ProxyCommand='banger ssh-proxy %n' root@testbox.vm"],
  }),
  "network-helper": command({
    brief: "Serve the network namespace that this process is in, for a daemon",
    details: "Started by the daemon of an ordinary user; speaks JSON on stdin and stdout.",
    isHidden: true,
    examples: ["banger network-helper"],
  }),
  "share-server": command({
    brief: "Serve the shared directories of a machine, for a daemon",
    details: "Started by the daemon; ends with its machine.",
    args: { config: one("File with the directories and their sockets") },
    isHidden: true,
    examples: ["banger share-server /run/user/1000/banger/vms/ID/shares/config.json"],
  }),
  complete: command({
    brief: "Print completions, for the completion scripts",
    args: {
      words: any("Words of the command line; the last one is completed", {
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
