import {
  countArg,
  diskArg,
  durationArg,
  durationOrNeverArg,
  sizeArg,
  textArg,
} from "#cli/args/numbers.ts";
import { commandFlags, environmentFlags, machineFlags } from "./flags.ts";
import { toolingFlags } from "./tooling.ts";
import { any, command, group, list, one, optional, some, toggle, value } from "./types.ts";
import { vmFileCommands } from "./vm-files.ts";
import { vmInsideCommands } from "./vm-inside.ts";
import { policyCommands, portCommands } from "./vm-network.ts";
import { sessionCommands } from "./vm-session.ts";
import { copyCommands, snapshotCommands } from "./vm-snapshot.ts";
import { checkpointFlag, importFlags, workspaceCommands, workspaceFlag } from "./vm-workspace.ts";
import { vmVolumeCommands } from "./volume.ts";

const machine = one("Machine name or ID", { completes: "vm" });
const machines = some("Machine names or IDs", { completes: "vm" });
const grace = value("-t, --grace <duration>", "Time to wait before forcing power-off", durationArg);

export const vmCommands = group("Manage machines", {
  create: command({
    brief: "Create a machine from an image and start it",
    details: `Images with an init system boot it; images with a supported package manager get one installed; all others run
in direct mode. In direct mode the machine runs the image's command, like docker run -d: \`banger vm logs\`
prints its output, and the machine stops when it exits, unless --restart is given.`,
    args: {
      image: optional("Same as --image", { completes: "image" }),
      command: any("Command to run in direct mode (default: the image's)"),
    },
    flags: {
      noCommand: toggle("--no-command", "Do not run the image's command in direct mode"),
      entrypoint: value("--entrypoint <program>", "Replace the image's entrypoint", textArg),
      image: value("--image <image>", "Image name, or a reference to pull", textArg, {
        completes: "image",
      }),
      snapshot: value("--snapshot <name>", "Snapshot to start from, instead of an image", textArg, {
        completes: "snapshot",
      }),
      ...machineFlags,
      workspace: workspaceFlag,
      ...importFlags,
      ...toolingFlags,
      noStart: toggle("--no-start", "Create the machine without starting it"),
    },
    examples: [
      "banger vm create --image debian-bookworm --name testbox --nat",
      "banger vm create --image debian:bookworm --cpus 4 --memory 4G --disk 40G",
      "banger vm create --image alpine --mode direct --net none",
      "banger vm create --image nginx --mode direct -p 8080:80",
      "banger vm create --mode direct -v pgdata:/var/lib/postgresql/data postgres",
      "banger vm create --snapshot ready --name testbox-2",
      "banger vm create --mode direct --restart always redis -- redis-server --save 60 1",
    ],
  }),
  run: command({
    brief: "Run a command in a new machine, then remove the machine",
    details:
      "The exit status is that of the command, 128 + n if signal n killed it, 127 if the command is not found, 126 if it\ncannot be executed, and 125 if banger itself fails. Signals are forwarded to the command.\nWith --foreground, IMAGE can also be the name of a stopped machine; SIGTERM shuts it down.",
    args: {
      image: one("Image name, or a reference to pull", { completes: "image" }),
      command: any("Command and arguments (default: the image's)"),
    },
    flags: {
      ...commandFlags,
      rm: toggle("--rm", "Remove the machine when the command exits (the default)"),
      keep: toggle("--keep", "Keep the machine, stopped, when the command exits"),
      detach: toggle("-d, --detach", "Run in the background and print the machine's name"),
      foreground: toggle(
        "--foreground",
        "Run in the foreground, without the daemon, for service managers",
      ),
      entrypoint: value("--entrypoint <program>", "Replace the image's entrypoint", textArg),
      ...machineFlags,
      workspace: workspaceFlag,
      ...importFlags,
      checkpointEvery: checkpointFlag,
      ...toolingFlags,
    },
    isPassThrough: true,
    examples: [
      "banger vm run debian:bookworm -- uname -a",
      "banger vm run -it alpine sh",
      "echo hello | banger vm run -i debian:bookworm tr a-z A-Z",
      "banger vm run -d --name web -p 8080:80 nginx",
      "banger vm run --foreground web",
      "banger vm run --workspace ~/src/app debian:bookworm -- make check",
      "banger vm run --workspace ~/src/app --tooling debian:bookworm -- npm test",
      "banger vm run --workspace ~/src/app --keep --checkpoint-every 5m -it debian:bookworm bash",
      "banger vm run -v ./site:/srv:ro --read-only --tmpfs /tmp nginx",
      "banger vm run --memory 4G -e DEBUG=1 ghcr.io/example/tool:1.2 --help",
    ],
  }),
  set: command({
    brief: "Change settings of a machine",
    details: `On a running machine, the limits, restart policy, idle times, ttl and labels change immediately; CPUs, memory, disk,
hostname and environment change at the next start.`,
    aliases: ["update"],
    args: { vm: machine },
    flags: {
      cpus: machineFlags.cpus,
      memory: machineFlags.memory,
      disk: value("--disk <size>", "Grow the writable layer to this size, such as 40G", diskArg),
      diskBandwidth: machineFlags.diskBandwidth,
      diskIops: machineFlags.diskIops,
      netBandwidth: machineFlags.netBandwidth,
      hostname: machineFlags.hostname,
      restart: machineFlags.restart,
      idleStop: machineFlags.idleStop,
      idleSuspend: machineFlags.idleSuspend,
      ttl: value(
        "--ttl <duration>",
        "Remove the machine, running or not, at this age; or never",
        durationOrNeverArg,
      ),
      ...environmentFlags,
      unsetEnv: list("--unset-env <name>", "Unset an environment variable"),
      label: list("--label <name=value>", "Add or change a label"),
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
    brief: "Copy a stopped machine, including its disk",
    details:
      "The copy is not started. It gets its own address, hostname, machine ID and ssh host key, and no published ports.",
    args: { vm: machine, name: optional("Name of the copy (default: generated)") },
    flags: { name: value("--name <name>", "Same as NAME", textArg) },
    examples: ["banger vm clone testbox testbox-2"],
  }),
  snapshot: snapshotCommands,
  ...copyCommands,
  start: command({
    brief: "Start one or more machines",
    args: { vms: machines },
    examples: ["banger vm start testbox"],
  }),
  stop: command({
    brief: "Shut down one or more machines; power off after the grace period",
    args: { vms: machines },
    flags: { grace },
    examples: ["banger vm stop testbox", "banger vm stop --grace 5s testbox other"],
  }),
  restart: command({
    brief: "Restart one or more machines",
    args: { vms: machines },
    flags: { grace },
    examples: ["banger vm restart testbox"],
  }),
  pause: command({
    brief: "Pause one or more machines: their CPUs stop, their memory stays",
    details: "Resume them with: banger vm resume. Commands in a paused machine are refused.",
    args: { vms: machines },
    examples: ["banger vm pause testbox"],
  }),
  resume: command({
    brief: "Resume one or more paused or suspended machines",
    aliases: ["unpause"],
    args: { vms: machines },
    examples: ["banger vm resume testbox"],
  }),
  suspend: command({
    brief: "Suspend one or more machines to disk, until they are used again",
    details: `Writes memory and devices to a file and frees the memory. Name, address and published ports stay: the next
\`banger vm exec\`, ssh, copy or connection to a published port resumes the machine where it was. Commands and
connections that are attached to the machine end; sessions go on.`,
    args: { vms: machines },
    examples: ["banger vm suspend testbox", "banger vm create --idle-suspend 10m alpine"],
  }),
  kill: command({
    brief: "Power off one or more machines immediately",
    args: { vms: machines },
    examples: ["banger vm kill testbox"],
  }),
  rm: command({
    brief: "Remove one or more machines and their disks",
    aliases: ["remove", "delete"],
    args: { vms: machines },
    flags: {
      force: toggle("-f, --force", "Remove running machines too"),
    },
    examples: ["banger vm rm testbox", "banger vm rm --force testbox other"],
  }),
  prune: command({
    brief: "Remove all stopped machines and their disks",
    flags: { force: toggle("-f, --force", "Do not list the machines or prompt for confirmation") },
    examples: ["banger vm prune", "banger vm prune --force"],
  }),
  list: command({
    brief: "List machines, or a directory in a machine",
    aliases: ["ls", "ps"],
    args: { path: optional("Directory in a machine, such as testbox:/path", { completes: "vm" }) },
    flags: {
      running: toggle("--running", "List only running machines"),
      label: list(
        "--label <name=value>",
        "List only machines with this label; NAME alone matches any value",
      ),
      all: toggle("-a, --all", "List all machines (the default)", { isHidden: true }),
    },
    examples: [
      "banger vm list",
      "banger vm list --json",
      "banger vm ls testbox:/etc",
      "banger vm rm --force $(banger vm list -q)",
    ],
  }),
  show: command({
    brief: "Show details of a machine",
    aliases: ["inspect"],
    args: { vm: machine },
    examples: ["banger vm show testbox", "banger vm show --json testbox"],
  }),
  health: command({
    brief: "Check a running machine's health",
    details:
      'Services are checked on guest ports: those in the image label banger.checks ("web=8080,db=5432"), and those in the setting vm.checks that are open.',
    args: { vm: machine },
    examples: ["banger vm health testbox", "banger vm health --json testbox"],
  }),
  exec: command({
    brief: "Run a command in a running machine",
    details: `Does not start a shell. The exit status is that of the command, 128 + n if signal n killed it, 127 if the command
is not found, 126 if it cannot be executed, 124 after --timeout, and 125 for any other error of banger. With -d,
the command runs in a background session, whose name is printed: see \`banger vm session\`.`,
    args: { vm: machine, command: some("Command and arguments") },
    flags: {
      ...commandFlags,
      detach: toggle("-d, --detach", "Run in a background session"),
      timeout: value("--timeout <duration>", "Kill the command after this time", durationArg),
      maxOutput: value(
        "--max-output <size>",
        "Kill the command if it prints more than this, such as 10M",
        sizeArg,
      ),
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
    brief: "Open a shell or run a command in a machine over ssh",
    details:
      "Runs the host's ssh; all arguments after the machine are passed to it. Does not need an sshd in the guest.",
    args: {
      vm: one("[USER@]NAME of the machine", { completes: "vm" }),
      rest: any("ssh options and command", { isVerbatim: true }),
    },
    flags: {
      user: value(
        "-l, --login <user>",
        "User to log in as (default: from the ssh configuration, or root)",
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
  volume: vmVolumeCommands,
  ...vmFileCommands,
  workspace: workspaceCommands,
  session: sessionCommands,
  ...vmInsideCommands,
  logs: command({
    brief: "Print the logs of a machine",
    args: { vm: machine },
    flags: {
      console: toggle("--console", "Print the serial console, even if the machine runs a command"),
      follow: toggle("-f, --follow", "Follow the log output"),
      tail: value(
        "-n, --tail <lines>",
        "Number of lines to show from the end of the logs",
        countArg,
      ),
    },
    examples: ["banger vm logs testbox", "banger vm logs -f -n 50 testbox"],
  }),
  wait: command({
    brief: "Wait for machines to stop, and print their exit status",
    args: { vms: machines },
    examples: ["banger vm wait testbox"],
  }),
});
