import {
  countArg,
  diskArg,
  durationArg,
  durationOrNeverArg,
  sizeArg,
  textArg,
} from "#cli/args/numbers.ts";
import { commandFlags, environmentFlags, machineFlags } from "./flags.ts";
import { any, command, group, list, one, optional, some, toggle, value } from "./types.ts";
import { vmFileCommands } from "./vm-files.ts";
import { vmInsideCommands } from "./vm-inside.ts";
import { policyCommands, portCommands } from "./vm-network.ts";
import { sessionCommands } from "./vm-session.ts";

const machine = one("Name or id of the machine", { completes: "vm" });
const machines = some("Names or ids of machines", { completes: "vm" });
const grace = value("-t, --grace <duration>", "How long to wait before insisting", durationArg);

export const vmCommands = group("Machines: make, run, enter, stop", {
  create: command({
    brief: "Make a machine of an image and start it",
    details: `An image with an init system boots it; one that can have an init system installed gets one; any other runs
in direct mode. There the machine runs the image's command as docker run -d does: \`banger vm logs\` has
its output, and its end is the machine's, unless --restart says otherwise.`,
    args: {
      image: optional("Same as --image", { completes: "image" }),
      command: any("Command to run in direct mode; default: the image's own"),
    },
    flags: {
      noCommand: toggle("--no-command", "Run nothing in direct mode, not even the image's command"),
      entrypoint: value("--entrypoint <program>", "Replace the image's entrypoint", textArg),
      image: value("--image <image>", "Image by name, or a reference to pull", textArg, {
        completes: "image",
      }),
      ...machineFlags,
      noStart: toggle("--no-start", "Leave it stopped"),
    },
    examples: [
      "banger vm create --image debian-bookworm --name testbox --nat",
      "banger vm create --image debian:bookworm --cpus 4 --memory 4G --disk 40G",
      "banger vm create --image alpine --mode direct --net none",
      "banger vm create --image nginx --mode direct -p 8080:80",
      "banger vm create --mode direct --restart always redis -- redis-server --save 60 1",
    ],
  }),
  run: command({
    brief: "Run a command in a new machine and remove the machine afterwards",
    details:
      "The exit status is the command's own, 128 + n if signal n ended it, 127 if there is no such command, 126 if it\ncannot be executed, and 125 for an error of banger. Signals are passed on.\nWith --foreground it may be the name of a machine, which is started, and stopped by SIGTERM.",
    args: {
      image: one("Image by name, or a reference to pull", { completes: "image" }),
      command: any("Command and its arguments; default: the image's own"),
    },
    flags: {
      ...commandFlags,
      rm: toggle("--rm", "Remove the machine afterwards (the default)"),
      keep: toggle("--keep", "Keep the machine, stopped, afterwards"),
      detach: toggle("-d, --detach", "Leave the machine and its command running; print its name"),
      foreground: toggle(
        "--foreground",
        "Be the machine: no daemon, signals, readiness and logs as a service manager wants them",
      ),
      entrypoint: value("--entrypoint <program>", "Replace the image's entrypoint", textArg),
      ...machineFlags,
    },
    isPassThrough: true,
    examples: [
      "banger vm run debian:bookworm -- uname -a",
      "banger vm run -it alpine sh",
      "echo hello | banger vm run -i debian:bookworm tr a-z A-Z",
      "banger vm run -d --name web -p 8080:80 nginx",
      "banger vm run --foreground web",
      "banger vm run --memory 4G -e DEBUG=1 ghcr.io/example/tool:1.2 --help",
    ],
  }),
  set: command({
    brief: "Change the settings of a machine",
    details: `Of a running machine the restart policy, idle-stop, ttl and labels change at once; CPUs, memory, disk,
hostname and environment at its next start.`,
    aliases: ["update"],
    args: { vm: machine },
    flags: {
      cpus: machineFlags.cpus,
      memory: machineFlags.memory,
      disk: value("--disk <size>", "Grow the writable layer to this size, such as 40G", diskArg),
      hostname: machineFlags.hostname,
      restart: machineFlags.restart,
      idleStop: machineFlags.idleStop,
      ttl: value(
        "--ttl <duration>",
        "Remove it, running or not, when it is this old; or never",
        durationOrNeverArg,
      ),
      ...environmentFlags,
      unsetEnv: list("--unset-env <name>", "Unset a variable"),
      label: list("--label <name=value>", "Attach or change a label"),
      removeLabel: list("--remove-label <name>", "Remove a label"),
    },
    examples: [
      "banger vm set testbox --memory 4G --cpus 4",
      "banger vm set testbox --restart always --idle-stop never",
      "banger vm set testbox -e DEBUG=1 --label team=web",
    ],
  }),
  rename: command({
    brief: "Rename a machine",
    aliases: ["mv"],
    args: { vm: machine, name: one("New name") },
    examples: ["banger vm rename testbox web"],
  }),
  clone: command({
    brief: "Copy a stopped machine with its disk",
    details:
      "The copy is stopped. It has its own address, hostname, machine id and ssh host key; published ports stay with the original.",
    args: { vm: machine, name: optional("Name of the copy; made up when not given") },
    flags: { name: value("--name <name>", "Same as NAME", textArg) },
    examples: ["banger vm clone testbox testbox-2"],
  }),
  start: command({
    brief: "Start machines",
    args: { vms: machines },
    examples: ["banger vm start testbox"],
  }),
  stop: command({
    brief: "Stop machines: ask, wait, then insist",
    args: { vms: machines },
    flags: { grace },
    examples: ["banger vm stop testbox", "banger vm stop --grace 5s testbox other"],
  }),
  restart: command({
    brief: "Stop machines, then start them",
    args: { vms: machines },
    flags: { grace },
    examples: ["banger vm restart testbox"],
  }),
  kill: command({
    brief: "End machines at once",
    args: { vms: machines },
    examples: ["banger vm kill testbox"],
  }),
  rm: command({
    brief: "Remove one or more machines, with their disks",
    aliases: ["remove", "delete"],
    args: { vms: machines },
    flags: {
      force: toggle("-f, --force", "Also running machines"),
    },
    examples: ["banger vm rm testbox", "banger vm rm --force testbox other"],
  }),
  prune: command({
    brief: "Remove the machines that are stopped, with their disks",
    flags: { force: toggle("-f, --force", "Do it without showing them first") },
    examples: ["banger vm prune", "banger vm prune --force"],
  }),
  list: command({
    brief: "List machines, or a folder of a machine",
    aliases: ["ls", "ps"],
    args: { path: optional("Folder of a machine, as testbox:/path", { completes: "vm" }) },
    flags: {
      running: toggle("--running", "Only those that run"),
      label: list("--label <name=value>", "Only those with this label; NAME alone: with any value"),
      all: toggle("-a, --all", "All of them (the default)", { isHidden: true }),
    },
    examples: [
      "banger vm list",
      "banger vm list --json",
      "banger vm ls testbox:/etc",
      "banger vm rm --force $(banger vm list -q)",
    ],
  }),
  show: command({
    brief: "Show one machine",
    aliases: ["inspect"],
    args: { vm: machine },
    examples: ["banger vm show testbox", "banger vm show --json testbox"],
  }),
  health: command({
    brief: "Ask a machine that runs how it is",
    details:
      'Services are looked for on ports of the guest: those of the image\'s label banger.checks ("web=8080,db=5432"), and those of the key vm.checks that answer.',
    args: { vm: machine },
    examples: ["banger vm health testbox", "banger vm health --json testbox"],
  }),
  exec: command({
    brief: "Run a command in a running machine",
    details: `No shell is involved. The exit status is the command's own, 128 + n if signal n ended it, 127 if there is
no such command, 126 if it cannot be executed, 124 after --timeout, and 125 for any other error of banger. With -d
it runs as a session, whose name is printed: see \`banger vm session\`.`,
    args: { vm: machine, command: some("Command and its arguments") },
    flags: {
      ...commandFlags,
      detach: toggle("-d, --detach", "Leave it running, as a session"),
      timeout: value("--timeout <duration>", "End it after this time", durationArg),
      maxOutput: value("--max-output <size>", "End it when it prints more, such as 10M", sizeArg),
      ...environmentFlags,
    },
    isPassThrough: true,
    examples: [
      "banger vm exec testbox -- uname -r",
      "banger vm exec -it testbox bash",
      "banger vm exec -d testbox -- sleep 1000",
      "banger vm exec --timeout 10s testbox -- make check",
      "banger vm exec -u nobody -w /tmp testbox -- sh -c 'id; pwd'",
    ],
  }),
  ssh: command({
    brief: "Open a shell in a machine, or run a command, through ssh",
    details:
      "Runs your own ssh; what follows the machine is handed to it. No sshd in the guest is needed.",
    args: {
      vm: one("Name or id of the machine, with an optional user@", { completes: "vm" }),
      rest: any("Options of ssh, and a command", { isVerbatim: true }),
    },
    flags: {
      user: value(
        "-l, --login <user>",
        "User to log in as (default: that of your ssh configuration, or root)",
        textArg,
      ),
    },
    isPassThrough: true,
    examples: [
      "banger vm ssh testbox",
      'banger vm ssh testbox -- "id; uname -r"',
      "banger vm ssh testbox -L 8080:localhost:80 -N",
    ],
  }),
  port: portCommands,
  policy: policyCommands,
  ...vmFileCommands,
  session: sessionCommands,
  ...vmInsideCommands,
  logs: command({
    brief: "Print the output of a machine's command, or its console",
    args: { vm: machine },
    flags: {
      console: toggle("--console", "The console, also if the machine has a command"),
      follow: toggle("-f, --follow", "Go on printing what is added"),
      tail: value("-n, --tail <lines>", "Only the last lines", countArg),
    },
    examples: ["banger vm logs testbox", "banger vm logs -f -n 50 testbox"],
  }),
  wait: command({
    brief: "Wait until machines have ended, and print how",
    args: { vms: machines },
    examples: ["banger vm wait testbox"],
  }),
});
