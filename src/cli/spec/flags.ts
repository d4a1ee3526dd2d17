/** Flags that several commands share. */
import {
  countArg,
  diskArg,
  durationArg,
  durationOrNeverArg,
  memoryArg,
  textArg,
} from "#cli/args/numbers.ts";
import { choice, list, toggle, value } from "./types.ts";

/** On every command. */
export const globalFlags = {
  json: toggle("--json", "Print JSON, as the API has it; a stream is one document a line"),
  quiet: toggle("-q, --quiet", "Print names only, and no progress"),
  noColor: toggle("--no-color", "Print without colors (as with NO_COLOR)"),
  progress: choice("--progress <mode>", "How long work is shown (default: auto)", [
    "auto",
    "plain",
    "quiet",
  ]),
};

export const kernelFlags = {
  kernelRef: value("--kernel-ref <name>", "Kernel that its machines boot", textArg, {
    completes: "kernel",
  }),
  kernel: value("--kernel <name>", "Same as --kernel-ref", textArg, {
    completes: "kernel",
    isHidden: true,
  }),
};

export const environmentFlags = {
  env: list(
    "-e, --env <name=value>",
    "Set a variable, which other users can read here; NAME alone passes on your own",
  ),
  envFile: list(
    "--env-file <file>",
    "Set variables from a file of NAME=value lines, as secrets should be",
    {
      completes: "path",
    },
  ),
};

/** What a new machine is made of. */
export const machineFlags = {
  name: value("--name <name>", "Name of the machine; made up when not given", textArg),
  ...kernelFlags,
  needs: value(
    "--needs <features>",
    "Choose a kernel by what it has, such as containers,fuse",
    textArg,
  ),
  mode: choice("--mode <mode>", "Boot the image's init, or nothing but the command", [
    "direct",
    "systemd",
  ]),
  cpus: value("--cpus <count>", "Virtual CPUs", countArg),
  memory: value("-m, --memory <size>", "Memory, such as 512M or 2G", memoryArg),
  disk: value("--disk <size>", "Size of the writable layer, which is sparse, such as 10G", diskArg),
  net: choice("--net <mode>", "Network", ["nat", "host", "user", "none"]),
  nat: toggle("--nat", "Same as --net nat"),
  vmm: choice("--vmm <monitor>", "Monitor that runs it; auto takes the best that works here", [
    "auto",
    "firecracker",
    "qemu",
  ]),
  publish: list(
    "-p, --publish <port>",
    "Open a port of this computer to it, while the daemon runs: [ADDRESS:][HOST:]GUEST[/tcp|udp]",
  ),
  network: list("--network <name>", "Put it on a named network, whose machines reach each other", {
    completes: "network",
  }),
  allow: list(
    "--allow <rule>",
    "Let it reach this and nothing else: NAME, *.NAME, ADDRESS or BLOCK, each with an optional :PORT",
  ),
  denyAll: toggle("--deny-all", "Let it reach nothing, or only what --allow says"),
  restart: choice("--restart <policy>", "Start it again when it ends by itself", [
    "no",
    "on-failure",
    "always",
  ]),
  idleStop: value(
    "--idle-stop <duration>",
    "Stop it when nobody has used it for so long, such as 30m; default: never",
    durationOrNeverArg,
  ),
  ttl: value("--ttl <duration>", "Remove it, running or not, when it is this old", durationArg),
  hostname: value("--hostname <name>", "Hostname inside; default: the machine's name", textArg),
  label: list("--label <name=value>", "Attach a label, which vm list can filter by"),
  ...environmentFlags,
};

/** Of the machines that an image build runs commands in. */
export const buildMachineFlags = {
  cpus: machineFlags.cpus,
  memory: machineFlags.memory,
  disk: machineFlags.disk,
  net: machineFlags.net,
  nat: machineFlags.nat,
};

export const commandFlags = {
  interactive: toggle("-i, --interactive", "Pass on standard input"),
  tty: toggle("-t, --tty", "Give the command a terminal"),
  workdir: value("-w, --workdir <dir>", "Folder to start in", textArg),
  user: value(
    "-u, --user <user>",
    "User to run as: name or number, with an optional :group",
    textArg,
  ),
};
